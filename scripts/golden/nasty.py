"""nasty - texts that break tokenizers, as (name, text) or (name, one piece, how often)."""

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. Команда сборной выиграла кубок в 2018 году!"
CHINESE = "今天天气很好，我们去公园散步吧。日本語のテキストもあります。한국어도 있습니다."
ARABIC = "مرحبا بالعالم، كَيْفَ حَالُكَ؟ ١٢٣٤٥"
THAI = "สวัสดีชาวโลก ภาษาไทยไม่มีช่องว่าง"
HINDI = "नमस्ते दुनिया, क्षत्रिय ज्ञान"

# Added tokens of the real and the tiny tokenizers, each plain, spaced, and glued to words.
ADDED = ("<s>", "</s>", "<unk>", "[", "]", "<|role_sep|>", "<|message_sep|>", "<|gigatoken_1|>", "<|gigatoken_256|>",
         "<|endoftext|>", "<|padding|>", "|||IP_ADDRESS|||", "<|im_start|>", "<mask>", "<right>", "<both>", "word",
         "caf\u00e9", "cafe\u0301", "<fim_prefix>")


def texts():
    """The texts written out."""
    cases = [
        ("empty", ""),
        ("space", " "),
        ("spaces", "     "),
        ("leading-spaces", "   three before"),
        ("trailing-spaces", "three after   "),
        ("inner-spaces", "one two  three   four    five                         many"),
        ("spaces-between-words-and-lines", "a  \n  b \n\n c\n   \n\td"),
        ("newlines", "\n\n\n"),
        ("crlf", "one\r\ntwo\r\n\r\nthree\rfour\n\rfive"),
        ("tabs", "\tone\t\ttwo\t three \tfour\t\n"),
        ("nul", "a\x00b\x00\x00 c\x00"),
        ("controls", "".join(map(chr, range(1, 32))) + "\x7f"),
        ("latin1-code-points", "".join(map(chr, range(256)))),
        ("code-points-256-767", "".join(map(chr, range(256, 768)))),
        ("each-utf8-length", "$¢€𐍈 \U0010ffff \ufffd \ufffe \ue000 \u0800 \U00010000"),
        ("spaces-of-unicode", "a\u00a0b\u2003c\u2009d\u202fe\u3000f\u1680g\u180eh\u200bi\u2028j\u2029k\u0085l\ufeffm"),
        ("nbsp-runs", "\u00a0\u00a0 \u00a0x\u00a0 \u00a0\u00a0"),
        ("mongolian-vowel-separator", "\u180e\u180e a\u180e b \u180e"),
        ("lone-combining", "\u0301\u0301 \u0308x \u20dd \u0301"),
        ("combining-decomposed", "Cafe\u0301 nai\u0308ve i\u0306 И\u0306 е\u0308 A\u030a \u1100\u1161\u11a8 q\u0323\u0307 q\u0307\u0323"),
        ("combining-composed", "Café naïve ĭ Й ё Å 각 \u212b \ufb01 \u2126"),
        ("hundred-marks", "z" + "\u0300\u0316" * 50 + "z"),
        ("emoji", "😀😁👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇷🇺🇬🇧 ☺️ ❤️‍🔥 1️⃣"),
        ("emoji-glued", "ok😀ok👨‍👩‍👧ok\u200d\ufe0f"),
        ("contractions", "I'm you're he's we've they'd I'll can't don't it's"),
        ("contractions-upper", "I'M YOU'RE HE'S WE'VE THEY'D I'LL CAN'T DON'T IT'S 'Ve 'lL 'sX x'ſ"),
        ("apostrophes", "'s 't '' ' 're'll rock'n'roll ’s l’été O'Neill's"),
        ("case-runs", "HTTPServer XMLHttpRequest iPhone eBay McDonald ABCdef abcDEF ǅ ǅabc ǆ ʰa ﬁ ßẞ İı"),
        ("digits", "1 12 123 1234 12345 1234567890123 3.14159 1,000,000 0x1F 2018год ٣٤٥٦ ५६७ ½ ² ³ Ⅷ ⅷ ㊿ 𝟘𝟙"),
        ("punctuation", "!!! ??? ... --- *** /// //\n\n\\\\ ;:,.<>?{}|`~@#$%^&*()_+-= «ёлки» — „…“ ¿¡"),
        ("code", "int main(void)\n{\n    for (int i = 0; i < 10; i++) {\n\t\tprintf(\"%d\\n\", a[i]);\n    }\n}\n"),
        ("url", "https://example.com/path/to?x=1&y=2#frag mailto:a.b+c@d-e.org //\n/"),
        ("json", "{\"a\": [1, 2, {\"b\": null}], \"c\": \"\\u0434\"}"),
        ("brackets", "[a] [[b]] a[0][1] [ ] [] ][ [\n] 【】 x[y]z"),
        ("russian", RUSSIAN), ("russian-upper", RUSSIAN.upper()), ("chinese", CHINESE), ("arabic", ARABIC), ("thai", THAI),
        ("hindi", HINDI), ("hebrew", "שָׁלוֹם עולם 123"), ("greek", "Ἐν ἀρχῇ ἦν ὁ Λόγος ΣΊΣΥΦΟΣ"),
        ("georgian-armenian", "ქართული ᲥᲐᲠᲗᲣᲚᲘ հայերեն և"),
        ("mixed-scripts", "Привет, world! 你好мир hello世界 αβγдеёжз123abcДДД ١٢٣"),
        ("byte-symbols", "Ġ Ċ ĠĊĀġŃ ¡¢ ▁ ▁▁ <0x0A> <0xFF>"),
        ("underscore-like", "\u2581one \u2581two\u2581 _three_"),
        ("private-and-unassigned", "\ue123 \U000f0001 \u0378 \U000e0041 \uffff"),
        ("special-look-alikes", "< s> <s <S> </ s> <|role_sep <|role_sep|message| [ s ] <<s>> <s></s><s>"),
        ("words-near-added", "word words sword word-word word_word wordword word. (word) слово word5 5word wordé"),
        ("added-all-glued", "".join(ADDED)),
        ("added-all-spaced", "  ".join(ADDED)),
        ("added-in-lines", "\n".join(f" {token}\t" for token in ADDED)),
        ("whole-words", "weather\nкоманда teams\nweather, the teams\nteamsteams weatherweather\nкоманды"),
        ("chat", "<s>system<|message_sep|>user<|role_sep|>hi [x]<|message_sep|>available functions<|role_sep|>[]"
                 "<|message_sep|>assistant<|role_sep|>"),
    ]
    for i, token in enumerate(ADDED):
        cases.append((f"added-{i}", f"{token}{token} {token} a{token}b a {token} b  {token}  c\n{token}\n"))
    return cases


def repeats():
    """(name, piece, count): long runs; the largest is 4 MiB of one letter."""
    return [
        ("a-1000", "a", 1000), ("x-999", "x", 999), ("space-1000", " ", 1000), ("newline-1000", "\n", 1000),
        ("digit-1000", "7", 1000), ("dash-1000", "-", 1000), ("ya-1000", "я", 1000), ("han-1000", "漢", 1000),
        ("mark-1000", "\u0301", 1000), ("emoji-1000", "😀", 1000), ("nul-1000", "\x00", 1000),
        ("mixed-5000", "ab ВГ12\n", 5000), ("bracket-2000", "[]", 2000), ("crlf-space-3000", "\r\n ", 3000),
        ("a-4MiB", "a", 4 << 20),
    ]
