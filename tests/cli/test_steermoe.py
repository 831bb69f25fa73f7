#!/usr/bin/env python3
"""scripts/steermoe_plan.py: the experts that SteerMoE would choose from a ranking that pandas or PyTorch pickled, and nothing in
a pickle that runs. Skips (77) without pandas."""
import base64
import importlib.util
import io
import os
import pathlib
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import zipfile
import zlib

try:
    import numpy as np
    import pandas
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GM_BIN", "build/cpu/bin"))
SCRIPT = SOURCE / "scripts/steermoe_plan.py"
MODEL = SOURCE / "tests/golden/models/deepseek-tiny"  # MoE layers 1 to 3, 12 experts, 4 chosen
L, E = 3, 12

# Files of PyTorch 2.15 and pandas 3.1, packed: scripts/golden/live_rankings.py --print makes them and tries 50 more.
TORCH = {
    "tensor": (
        "c-n1|OHTqZ5XZX@B;jF*2NQ1`IN*gKsF4dK#&BtT;bkwTf!zvg)-COJNiZSdBJr^|>&*|~rvSc=AHl?f1B5IGCux7_^xv83%-H<c)zQ+TjAX"
        "*@l}IREFHq4A5wsJ!o<k({1189zqTW?8%C2Mqpxvb^$`OyX9dakw1L+JU4M27JrXe)eUsK-iXY(h2|8=!j8tdoZ2J9n_idGI1_63v7W*!+(5"
        "xC6f8VIZ`+<2~(9wpRw+_um4XDbCxIqXvsxQ{g8#)z9mD*?`+$AshwtXl@0Twn4nY+B|b2J^c-iOn#CoJA|S5U)z+$X<RS)r7+3&B~eLnzap"
        "@+Tn5apjxRNom9%@GGE2D`yn@Q;X-or8lv5D^q*F1mkMZY`582z4r>}S--wCoG3V0_HexPq%~{NOeS_1Oi=1mNa>g~NC)H9IVFPC-3TxPysF"
        "x@Wz4xdsq4hBC^rdj9pw5|VOPJt(OG$WB`UAP6l#l"
    ),
    "saved": (
        "c-p;GJ#W)M7(U0TlbAGVSt>eI2r&eSCQfYU14JWP$P6Axi$D<!u4`X{RX6V0m+&DWRRSt8kzc@1U}Y<1VMQ>rF){HE5a+mc>?;Hc5+_-AzI&"
        "hNeeU)9xTCRY0J2$dVl05O!0^ob_6Sxi0~_VtZAVoK;BI2<rJf+r&5?M|_P2G*?)4C3VwV8R`ViZW&+8uC8rqJfV>s|#PaoBIlq!|F83OW2q"
        "|t|n4I#YhxCXuzZt^JIWk`&G=DIAI&D|m5w2K&J)-|B9T7Dm8wY<jcqudMAbR7qp*meg#f77#|2d(S2iFw3d+CXP8%5R`~zueI>SyX&~?=_("
        "dp3X0CzXax^+n0N;w_{*^1U;W5P?g-Y2-Se{&9~1_1EtJN%4N`)QXXAgHypb^*ntDADk4?dKN@u@5YT>rzNScu)Jy@3pdAU=dW4}H)JavY{!"
        "QNF;n)~EFwpS)+Lv=2$->RlPylO*uBr&Ca^)Wc0C4^-0DEiXIUwscNkP_!WDVL!DarXE*#igvBQ~hS1^JmiCI{o0l_&x+szlUTmD83&<b#YK"
        "U-fVQ{`;?h+Oz>D#rL6SlMZ}r1jf;AOI6CJ6i}5LwPv-|lB?CGEY&4ZsMQ5YmaFxaR1>5|vn2{-R}56XTzxk#5gnz8N+u8+>5RK_;e>MfKSZ"
        "PB23$%YzsJy&k7<&)iIx*2>kOFTT$(3tgvA8Urx;IUKpGzJo<ahCCj}_)(Aan%6cgA@7SP>BgX5oPC8;|G{(0kcG>*G`+-B@*gv?O$2PT{!r"
        "o)-wCPz28@ICy4&T%0oGl>sle*kBmZ7u"
    ),
    "stream": (
        "c-obZzfJ-{5XSfZAiAQlwWFZGh6GRo4J5|UZ2X7KHs*5fZD7sjmf71Q(S+nGqCSHU;8Osv<0F_@I7n;b7L)96zM1cv!hfUs`+fLTef+pNZWR"
        "9IXMlAMq|T2BAyaFd5k^NdX)|R~@KC@Hu%nf8T1GNWRGfnU!YM-cG?h`No@EBX9Kt#;A<QPmIw&!p2l!K|gB=#~aI?dtV<@vQ&(TvjW5uKq<"
        "xc60Mpi!LN+*$%X=ZFRYf;Qp=jF{pRK{Zo-gbnZ54DM1vvarQ6nuV&vfgQ@-E6mdXWdq}*MZ>IUQBZcS?vk~-7>-gR#{-23iB3FeieABmcrq"
        "o8NIfNv@*F+!co{g8Nr?dI)Z(SdJp6;2QO~a$o5rNMZZ{92c*AVk^zF%x=)t>r$5F@d#C"
    ),
    "table": (
        "c-rlp&2Jnv6u@U@XE(`i(xeTv34}H+IcyHBXcDSMst65H5FNUO^uS&s%RA%j%w~2zJ#7{d5e`ig@U7;C#Ff9I^xxsg4J0IZo}DxaA3`b$s*y"
        ")pKd=4#Jbu6T=Jvd2e)HX`mOrc#;lRNuXCrHv;`Idg2!F!ozvR2T&P>$nB%ECy=rrswAq_8}BnhyeHhMU~9g@J>(N#aRx9<-A!*X`9Sb==6o"
        "gOdYY#e1l<k{OkL2a=nR}QjX)Ni2Nd@u8<hm!>N!7NIM9R?{)GMfs`a<0kQ5E#!@o^VTh#NXH3{4w9)bxXGlYi^&r<E-q^ek6{<4DTjCJQ&Q"
        "En0|{lo6S4F!IL+ZMtS>i^*uv7^G82pX`Hdt{${^YA<aUT3t1`TP$7p4Ia0`KA#48=`y3*P4YxB7A~=9pFQ>j|lRQQtEOilqmLXcV=ALuUi^"
        "z2+kK$I(<93P}_fAFY=YNRS6%nnQkeZ`3Ol-G-GU|!Ex&Wync6JaYK^i9L!2)btXJZ4k6a?fZXA{T|v4ggfu!q`xN>b2T{Te*7XM9!lfBkm-"
        "m)Y+3A5S;-jJrRUpxuqNdTRm>7bPJL?a)ULAmhC-h;>kCjlqoXQ3~ly0>{HaY#g+NUqteu)ccI2acMU;>n-8b)D06Fmo1|uTn=A_xMG<t;dV"
        "a^I`NQYW*O{RZwZeVuN-T3euU~eyg0o-7_7#6>m2ATFWp$YzPPY_b9w2VrKNaa*N(EdWX&~cY<>dPHe>CtbamXAdma(9KY#<?h2K-?ufPEGp"
        "Fv++DHLG-8H{O9{|jCINJNS@KYz$-;BlYW6dVqaYxfd|B*a<s^3UP?21Fc0(_-Ddp%}i540T}W-cp=ic20)kBn79E;v@wpQ*n}lQ(1A6f>T9"
        "tl7iEa;v@y9VZ})bP9utw6r8GxlN6k4ijx$aMinP1IE^VzQgAw_I7z{2Tyc_u(}dzA1*h|hlN6jTC{9vvnpB*m;Pi^(Bn78e6(=b;T~wT;;B"
        "-lGl7iEe;v@y9X~jtjPOm9WQgC`*agu`5jN&8(r#BQQDL7qLoTT7%MRAgX)2!ko1*fZulN6k;DNa&wdh;YFLV4T0W*JuLbZs%4JXL(37s{uc"
        "%^(!@caF>Nn`^hl%qq6Gi6iRd$BJb~3u^ai;su@CMWOwjE0v$jX1;}XG`DtCV_%8-)C~jv!52Rd4zVxv{#4{V2Y=qm%a@Ih-sUgfT>lr%!iz"
        "S--}|}COO|=k<&U{I(bVZn5*)Ha(ncGngtICN$V2p@7z1a4`^rcC{E`I+Q_Q>5kZ|1@XpSA-ofTtOq4@{Dn$P`O_Hmyi0EFyBB%z#*Bwo6W9"
        "B*rjGcypkI~3>Wx?s1N34`5Fp$o57-M~SIoOri^4lAb=gDp#ACS+j5tvS&l(9!etL^RAq5Dl=QIL=mnj|3Y*JwkDQzD>@`n9?K#yR3q?eB8;"
        "qm$2`L4^!l1k?+}<66E7H@l$?~X6?rBB*j83"
    ),
}

spec = importlib.util.spec_from_file_location("steermoe_plan", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def convert(path, *options):
    for old in pathlib.Path().glob("out.plan.safetensors"):
        old.unlink()
    words = [sys.executable, SCRIPT, path, "-o", "out.plan.safetensors", *map(str, options)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def make_ranking(risk):
    """As SteerMoE writes it: a row an expert, the largest first, with columns of several types."""
    rows = [{"layer": l, "expert": e, "a1": float(l + e), "a1_n": 0.5, "risk_diff": risk[l, e]}
            for l in range(L) for e in range(E)]
    table = pandas.DataFrame(rows)
    table["Layer_Expert"] = table.apply(lambda row: f"L{int(row['layer']):02d}\nE{int(row['expert']):02d}", axis=1)
    table["risk_diff_abs"] = table["risk_diff"].abs()
    return table.sort_values(by="risk_diff_abs", ascending=False).reset_index(drop=True)


def bias_of(path):
    """The [L,E] array, by numpy from what gm-steer exports."""
    subprocess.run([BIN / "gm-steer", "plan", path, "--export", "bias.npy", "--force"], check=True, capture_output=True)
    return np.load("bias.npy")


def expected(table, promote, suppress, chosen, reverse):
    """By pandas: the definition in the script's first lines."""
    sign = -1 if reverse else 1
    bias, forced = np.zeros((L, E), np.float32), np.zeros(L, int)
    risk = sign * table["risk_diff"]
    for row in table[risk > 0].head(promote).itertuples():
        if forced[row.layer] < chosen:
            bias[row.layer, row.expert] = 1
            forced[row.layer] += 1
    for row in table[risk < 0].head(suppress).itertuples():
        bias[row.layer, row.expert] = -1
    return bias


def check_choice():
    for seed, (promote, suppress, chosen, reverse) in enumerate([(5, 0, 4, False), (0, 7, 4, False), (14, 9, 2, True),
                                                                (1, 1, 1, False), (12, 12, 4, True)]):
        table = make_ranking(np.random.default_rng(seed).normal(size=(L, E)))
        for wide in (table, table.astype({"layer": "int32", "risk_diff": "float32"}), table[table.columns[::-1]]):
            wide.to_pickle("r.pkl")
            done = convert("r.pkl", "--promote", promote, "--suppress", suppress, "--chosen", chosen, "--first-layer", 1,
                           *(["--reverse"] if reverse else []))
            assert done.returncode == 0, done.stderr
            want = expected(table, promote, suppress, chosen, reverse)
            assert np.array_equal(bias_of("out.plan.safetensors"), want), (seed, done.stdout)
            assert (want != 0).any()
    said = subprocess.run([BIN / "gm-steer", "generate", "--model", MODEL, "--plan", "out.plan.safetensors", "--prompt", "salt",
                           "--max-tokens", "4", "--quiet"], capture_output=True, text=True, check=False)
    assert said.returncode == 0 and said.stdout, said.stderr


def refused(data, part, *options):
    pathlib.Path("bad.pkl").write_bytes(data)
    done = convert("bad.pkl", *(options or ("--suppress", 1)))
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done
    assert part in done.stderr and "bad.pkl" in done.stderr, (part, done.stderr)
    assert not pathlib.Path("out.plan.safetensors").exists()


class Calls:
    """Pickled, a call of whatever it is given."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def check_refusals():
    table = make_ranking(np.random.default_rng(9).normal(size=(L, E)))
    refused(pickle.dumps(Calls(os.system, "touch ran")), "posix.system")
    refused(pickle.dumps(Calls(eval, "open('ran', 'w')")), "builtins.eval")
    refused(pickle.dumps(Calls(np.save, "ran.npy", [1])), "expected DataFrame")
    refused(pickle.dumps([Calls(pandas.read_csv, "/dev/null")]), "expected DataFrame")
    assert not pathlib.Path("ran").exists() and not pathlib.Path("ran.npy").exists()
    refused(b"", "cannot be read")
    refused(pickle.dumps(np.zeros((2, 3))), "expected DataFrame")
    refused(pickle.dumps(table.drop(columns="risk_diff")), "no 'risk_diff'")
    refused(pickle.dumps(table[1:]), "every expert")
    refused(pickle.dumps(pandas.concat([table, table[:1]])), "every expert")
    refused(pickle.dumps(table[:0]), "every expert")
    for row, said in (([None, 0, 0.5], "not a number"), ([0, 0, "x"], "not a number"), ([0.7, 0, 0.5], "not integers"),
                      ([0, float("nan"), 0.5], "not integers"), ([float("inf"), 0, 0.5], "not integers")):
        refused(pickle.dumps({"layer": [row[0]], "expert": [row[1]], "risk_diff": [row[2]]}), said)
    refused(pickle.dumps(table.assign(risk_diff=float("nan"))), "not a number")
    refused(pickle.dumps(table.assign(risk_diff=0.5)), "1 below were requested, but it has 36 and 0")
    assert convert("bad.pkl", "--promote", 1).returncode == 2 and convert("bad.pkl").returncode == 2


def check_files():
    """A ranking that is absent, an output that exists and one that cannot be written: said, and nothing is left or changed."""
    make_ranking(np.random.default_rng(9).normal(size=(L, E))).to_pickle("r.pkl")
    out = pathlib.Path("small.plan.safetensors")

    def convert_to(ranking, limit=resource.RLIM_INFINITY):
        done = subprocess.run([sys.executable, SCRIPT, ranking, "-o", out, "--suppress", "1"], capture_output=True, text=True,
                              check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        assert done.returncode == 1 and done.stdout == "", done
        return done.stderr

    assert convert_to("absent.pkl") == "steermoe_plan: 'absent.pkl': No such file or directory\n"
    assert convert_to("r.pkl", 500) == f"steermoe_plan: '{out}': File too large\n" and not out.exists()
    out.write_text("kept")
    assert convert_to("r.pkl") == f"steermoe_plan: '{out}': File exists\n" and out.read_text() == "kept"
    out.unlink()


def torch_file(name):
    return zlib.decompress(base64.b85decode(TORCH[name]))


def check_tensors():
    """Tensors inside and instead of a table, as PyTorch wrote them."""
    want = np.array([[((l * E + e) * 7 % 11 - 5) / 8 for e in range(E)] for l in range(L)])
    for name in TORCH:
        rows, n_layers, n_experts = script.read_ranking(torch_file(name))
        assert (n_layers, n_experts) == (L, E) and all(risk == want[l, e] for l, e, risk in rows), name
    pathlib.Path("t.pkl").write_bytes(torch_file("saved"))
    done = convert("t.pkl", "--suppress", 3, "--first-layer", 1)
    assert done.returncode == 0, done.stderr
    assert (bias_of("out.plan.safetensors") == -1).sum() == 3 and (want[bias_of("out.plan.safetensors") == -1] == want.min()).all()


def repacked(data, change, how=zipfile.ZIP_STORED):
    """A file of torch.save with members changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", how) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out.getvalue()


def check_refused_tensors():
    tensor, saved, stream = torch_file("tensor"), torch_file("saved"), torch_file("stream")
    refused(tensor.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v9"), "torch._utils._rebuild_tensor_v9")
    refused(tensor.replace(b"FloatStorage", b"FloatStarage"), "FloatStarage")
    refused(tensor[:-40].replace(b"K\x0c", b"K\x0d") + tensor[-40:], "beyond its numbers")  # a stride
    refused(repacked(saved, lambda name, data: b"big" if name.endswith("byteorder") else data), "other byte order")
    refused(repacked(saved, lambda name, data: data[:-1] if "/data/" in name else data), "missing")
    refused(repacked(saved, lambda name, data: data, zipfile.ZIP_DEFLATED), "is compressed")
    refused(repacked(saved, lambda name, data: data.replace(b"ctorch\nFloat", b"cposix\nFloat")), "posix.FloatStorage")
    refused(stream[:-1], "missing")
    refused(pickle.dumps(Calls(os.system, "touch ran")), "posix.system")
    refused(repacked(saved, lambda name, data: pickle.dumps(Calls(os.system, "touch ran")) if name.endswith(".pkl") else data),
            "posix.system")
    assert not pathlib.Path("ran").exists()


def check_damage():
    """Any damage gives the same numbers, other numbers or one kind of exception, and Python prints nothing of its own."""
    keep = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            for data in (pickle.dumps(make_ranking(np.random.default_rng(9).normal(size=(L, E)))), torch_file("tensor"),
                         torch_file("saved")):
                damage(data)
        finally:
            os.dup2(keep, 2)
        said.seek(0)
        assert said.read() == b"", "printed"


def damage(data):
    draw = random.Random(1)
    outcomes = {True: 0, False: 0}
    for trial in range(len(data) // 4 + 1500):
        bad = bytearray(data)
        if trial < len(data) // 4:
            del bad[4 * trial:]
        else:
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        try:
            rows, n_layers, n_experts = script.read_ranking(bytes(bad))
            assert len(rows) == n_layers * n_experts
            outcomes[True] += 1
        except script.Refused:
            outcomes[False] += 1
    assert outcomes[True] > 100 and outcomes[False] > 200, outcomes


check_choice()
check_files()
check_tensors()
check_refusals()
check_refused_tensors()
check_damage()
