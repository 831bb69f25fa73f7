"""Goldens: small expected values from independent programs, for the C tests to compare with."""
