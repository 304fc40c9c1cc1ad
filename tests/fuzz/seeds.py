"""What the fuzz targets begin with, made from the tests: seeds, dictionaries, and the models that plan_fuzz calls.

    python tests/fuzz/seeds.py build/fuzz
"""

import random
import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests/frontend/onnx/cases"
FIXTURES = ROOT / "tests/fixtures"

#: Beside one small model of each operator; their inputs have dimensions in common.
PLANNED = ["bert-tokens-script", "llama-past-script", "plain-additive-script", "resnet-script", "t5-encoder-script"]
LARGEST = 30_000  #: bytes of a model that mutations still get somewhere with
LARGE = ["Y[i + 999999999] = X[i]", "Y[i % 1000000000] = X[i]", "Y[max(i, 999999999)] = X[i]"]  #: results of few points
RANDOM = 64  #: seeds for each of the targets that decode bytes

TOKENS = """; [ ] ( ) , | : $p = += *= max= min= and= or= logsumexp= + - * / // % == != < <= > >= && || ^^ ! true false inf nan 0.5 1e-5 2
neg( abs( sqrt( rsqrt( exp( log( erf( tanh( sigmoid( sin( cos( floor( ceil( round( sign( recip( not( isnan( isinf( pow( mod( fmod( min( max(
select( cast_f32( cast_f64( cast_f16( cast_i64( cast_i32( cast_i8( cast_u8( cast_bool( |i| Y[i] X[i] X[i,k] X[]""".split()


KERNEL_TOKENS = """let var store scatter prefetch for .. step if else := = , ( ) [ ] : ptr noalias i64 f32x8 f64 f16 i32 i8 u8x4 i1 inf nan -inf @1= @1
add + - * / % & | ^ << == != < <= > >= neg( abs( sqrt( floor( ceil( round_even( fma( dot( min( max( lshr( ashr( select( convert bitcast splat x8(
extract shuffle [0 reduce_add( reduce_mul( reduce_min( reduce_max( reduce_and( reduce_or( lane_mask offset( load gather iota""".split()


def cases(folder):
    """The programs of a folder's text tests."""
    for path in sorted((ROOT / folder).glob("*.pit")):
        for case in re.split(r"^== .*\n", path.read_text(), flags=re.M)[1:]:
            yield re.split(r"^--|^$", case, flags=re.M)[0]


def programs():
    """The programs of tests/expr, and the op set's templates with two axes for each pack."""
    yield from cases("tests/expr")
    for path in sorted((ROOT / "src/graph/opset").glob("*.cpp")):
        for text in re.findall(r'"(\w+\[[^"\n]*\] \S{0,10}= [^"\n]*)"', path.read_text()):
            yield re.sub(r"(\w+)\.\.\.", r"\g<1>0,\g<1>1", text).replace("\\n", "\n")


def case_models():
    """(name, bytes) of the models of one operator."""
    for path in sorted(CASES.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".onnx"):
                    yield name, archive.read(name)


def operators():
    return sorted(set(re.findall(r'^    \{"(\w+)"', (ROOT / "src/graph/opset/constraints.cpp").read_text(), re.M)))


def write(folder, files):
    """Files by their names; those that are no longer made go."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in {p.name for p in folder.iterdir()} - set(files):
        (folder / old).unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def numbered(seeds):
    return {f"{i:04}": data for i, data in enumerate(dict.fromkeys(seeds))}


def dictionary(words):
    return "".join('"' + w.replace("\\", "\\\\").replace('"', '\\"') + '"\n' for w in words).encode()


def main():
    build = Path(sys.argv[1])
    models = dict(case_models())
    small = [data for data in models.values() if len(data) <= LARGEST]
    small += [p.read_bytes() for p in sorted(FIXTURES.glob("*.onnx")) if p.stat().st_size <= LARGEST]
    rng = random.Random(0)
    write(build / "seeds/expr_fuzz", numbered(p.encode() for p in [*programs(), *LARGE]))
    write(build / "seeds/importer_fuzz", numbered(small))
    for target in ["kernel_ir_fuzz", "graph_fuzz", "plan_fuzz"]:
        seeds = [rng.randbytes(rng.randrange(16, 512)) for _ in range(RANDOM)]
        if target == "kernel_ir_fuzz":
            seeds += [kernel.encode() for kernel in cases("tests/codegen")]
        write(build / "seeds" / target, numbered(seeds))
    write(
        build / "dictionaries",
        {"expr_fuzz": dictionary(TOKENS), "kernel_ir_fuzz": dictionary(KERNEL_TOKENS), "importer_fuzz": dictionary(operators())},
    )
    planned = {n.replace("_0/free", ""): data for n, data in models.items() if n.endswith("_0/free.onnx")}
    planned |= {f"{name}.onnx": (FIXTURES / f"{name}.onnx").read_bytes() for name in PLANNED}
    write(build / "models", planned)


if __name__ == "__main__":
    main()
