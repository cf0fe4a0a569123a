"""Classes of a model whose file names none: said by id, name or number wherever a class is said, and shown as such."""

from pathlib import Path

import numpy as np
import pytest

from infer.cli.main import main
from infer.editor.recipe_file import read_recipe
from infer.projection.mixture import parse_source, source_label
from models.errors import PhotograftError
from models.files import load_network, save_network
from models.zoo import PARTS, load_model, model_files
from tests.infer import tiny_model
from tests.infer.conftest import HEAD
from tests.models.test_chainer import generator
from tests.refusals import refused

Capture = pytest.CaptureFixture[str]
COUNT = 143


@pytest.fixture(scope="module")
def dogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 143 classes that says nothing of them, as a converted snapshot does not."""
    folder = tmp_path_factory.mktemp("dogs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_model, "CLASSES", [f"x{i}" for i in range(COUNT)])
        patch.setattr(tiny_model, "GROUPS", [0] * COUNT)
        file = tiny_model.write_tiny_model(folder, "dogs")
    for part, path in model_files(folder / "dogs").items():
        network, _ = load_network(path, PARTS[part])
        save_network(path, network, PARTS[part], {"source": "snapshot.npz"})
    return file


def edit(dogs: Path, out: Path, *options: object) -> int:
    command = ["edit", "--model", dogs, "--box", HEAD, "--mask", "box", "--steps", 1, "--out", out, *options]
    return main([str(word) for word in command])


def test_classes_are_shown_with_id_name_and_number(dogs: Path, capsys: Capture) -> None:
    assert main(["classes", "--model", str(dogs)]) == 0
    shown = capsys.readouterr()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.out.splitlines() if "│" in line]
    assert len(rows) == COUNT
    assert rows[0] == ["0", "Chihuahua", "n02085620", "151", "all"]
    assert rows[-1] == ["142", "cheetah", "n02130308", "293", "all"]
    assert "names: assumed from the number of classes" in shown.err
    assert "dogs.names.csv: a line NAME or WORDNET-ID,NAME" in shown.err
    assert main(["inspect", str(dogs)]) == 0
    out = capsys.readouterr().out
    assert "143 classes: Chihuahua, Japanese spaniel," in out
    assert "class names: assumed from the number of classes: the 143 dogs and cats" in out


def test_names_are_never_assumed_in_silence(dogs: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["sample", "-c", "0", "--columns", "1", "--model", str(dogs), "--out", str(tmp_path)]) == 0
    assert "class names are assumed from the number of classes" in capsys.readouterr().err
    snapshot = tmp_path / "generator.npz"
    np.savez(snapshot, **generator([8, 4, 4], 143))  # type: ignore[arg-type]
    out = tmp_path / "x.generator.safetensors"
    assert main(["convert", str(snapshot), str(out)]) == 0
    assert "the 143 dogs and cats of ImageNet, 151 to 293; --names says others" in capsys.readouterr().err
    assert load_model(str(out)).class_index("imagenet:151") == 0
    assert main(["convert", str(snapshot), str(out), "--names", "dogs-cats"]) == 0
    assert "assumed" not in capsys.readouterr().err
    assert main(["classes", "--model", str(out)]) == 0
    assert "names: the 143 dogs and cats of ImageNet" in capsys.readouterr().err


def test_what_a_file_names_is_not_assumed(tiny: Path, capsys: Capture) -> None:
    assert main(["classes", "--model", str(tiny)]) == 0
    shown = capsys.readouterr()
    assert "names: the file\n" in shown.err
    assert "names.csv" not in shown.err
    assert "n02099601" in shown.out, "golden retriever is one of ImageNet's"


def test_every_way_to_say_a_class_edits_the_same(dogs: Path, cat: Path, tmp_path: Path) -> None:
    said = ("imagenet:151", "n02085620", "chihuahua", "0")
    pictures = []
    for number, word in enumerate(said):
        out = tmp_path / str(number)
        assert edit(dogs, out, cat, "--to", word, "--from", "imagenet:281:3,n02123159:1") == 0
        pictures.append((out / "cat_to_Chihuahua.png").read_bytes())
        recipe = read_recipe(out / "cat_to_Chihuahua.json")
        assert recipe.source.class_name == {"tabby": 0.75, "tiger cat": 0.25}
    assert len(set(pictures)) == 1


def test_a_sweep_and_steps_together_say_classes_so_too(dogs: Path, cat: Path, tmp_path: Path) -> None:
    assert edit(dogs, tmp_path, cat, "--to", "imagenet:292", "--strength", "0,1", "--from", "0") == 0
    assert (tmp_path / "cat_to_tiger_s100.png").is_file()
    two = ("--to", "n02129604", "--to", "imagenet:291", "--strength", "1", "--strength", "0.5", "--together")
    assert edit(dogs, tmp_path, cat, *two, "--from", "0") == 0
    assert [step.to for step in read_recipe(tmp_path / "cat_to_tiger_lion.json").steps] == ["tiger", "lion"]


def test_samples_and_references_say_classes_so_too(dogs: Path, tmp_path: Path) -> None:
    options = ["--model", str(dogs), "--out", str(tmp_path)]
    assert main(["sample", "-c", "imagenet:151", "-c", "n02130308", "--columns", "1", *options]) == 0
    blend = ["--mask", "box", "--class", "imagenet:281", "--reference-class", "n02085620"]
    assert main(["blend", *blend, *options]) == 0
    (recipe,) = tmp_path.glob("*.json")
    content = recipe.read_text()
    assert '"tabby"' in content
    assert '"Chihuahua"' in content


def test_imagenets_number_alone_is_refused_with_what_to_write(
    dogs: Path, cat: Path, tmp_path: Path, capsys: Capture
) -> None:
    line = refused(edit(dogs, tmp_path / "out", cat, "--to", "151"), capsys, "unknown class '151'", tmp_path / "out")
    assert "0-142" in line
    assert "ImageNet's 151 is 'Chihuahua', class 0 here: write imagenet:151" in line


def test_recipes_from_before_the_names_say_the_same(dogs: Path, cat: Path, tmp_path: Path) -> None:
    assert edit(dogs, tmp_path, cat, "--to", "Maltese dog", "--from", "tabby") == 0
    recipe = tmp_path / "cat_to_Maltese-dog.json"
    text = recipe.read_text()
    old = tmp_path / "old.json"
    old.write_text(text.replace('"Maltese dog"', '"class 2"').replace('"tabby"', '"class 130"'))
    assert "class 130" in old.read_text()
    assert main(["edit", "--recipe", str(old), "--model", str(dogs), "--out", str(tmp_path / "again")]) == 0
    (again,) = (tmp_path / "again").glob("cat_to_Maltese-dog.png")
    assert again.read_bytes() == (tmp_path / "cat_to_Maltese-dog.png").read_bytes()


def test_mixtures_of_numbers_of_imagenets(dogs: Path) -> None:
    model = load_model(str(dogs))
    assert parse_source(model, "imagenet:151") == "Chihuahua"
    assert parse_source(model, " imagenet: 151 ") == "Chihuahua"
    assert parse_source(model, "imagenet:151,imagenet:152") == {"Chihuahua": 0.5, "Japanese spaniel": 0.5}
    assert parse_source(model, "imagenet:151:3,1:1") == {"Chihuahua": 0.75, "Japanese spaniel": 0.25}
    label = source_label(model, {"imagenet:151": 1.0, "n02085782": 1.0})
    assert label[0, :3].tolist() == [0.5, 0.5, 0]
    with pytest.raises(PhotograftError, match="named twice"):
        parse_source(model, "imagenet:151:3,Chihuahua:1")


def test_names_come_with_a_conversion(dogs: Path, golden: Path, tmp_path: Path, capsys: Capture) -> None:
    snapshot, out = golden / "collage" / "gen_resnet64.snapshot.npz", tmp_path / "x.generator.safetensors"
    assert main(["inspect", str(snapshot)]) == 0
    assert "class names: the file has none" in capsys.readouterr().out
    count = load_network_classes(snapshot, tmp_path)
    table = tmp_path / "own.csv"
    table.write_text("n02123045,tabby\n" + "".join(f"kind {i}\n" for i in range(1, count)))
    assert main(["convert", str(snapshot), str(out), "--names", str(table)]) == 0
    capsys.readouterr()
    assert main(["classes", "--model", str(out)]) == 0
    shown = capsys.readouterr()
    assert "n02123045" in shown.out
    assert "names: own.csv" in shown.err
    code = main(["convert", str(snapshot), str(tmp_path / "y.safetensors"), "--names", "dogs-cats"])
    refused(code, capsys, f"dogs-cats names 143 classes, and the network has {count}")
    assert not (tmp_path / "y.safetensors").exists()
    encoder = golden / "collage" / "enc_small_bw2.snapshot.npz"
    code = main(["convert", str(encoder), str(tmp_path / "y.safetensors"), "--names", "dogs-cats"])
    refused(code, capsys, "no generator with classes")


def load_network_classes(snapshot: Path, folder: Path) -> int:
    """How many classes a snapshot's generator has."""
    from models.checkpoints.formats import convert

    (path,) = convert(snapshot, folder / "z.generator.safetensors")
    return len(load_model(str(path)).class_names)
