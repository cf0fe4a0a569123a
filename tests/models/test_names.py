"""Names of published sets of classes: the tables, whose they are, and which class a word means."""

from pathlib import Path

import pytest

from models.errors import PhotograftError
from models.files import save_network
from models.generators.sngan import SNGANGenerator
from models.names.choice import class_number
from models.names.published import assumed, given, is_assumed, published
from models.names.wordnet import id_of, imagenet
from models.zoo import load_model, read_classes


def write(folder: Path, classes: int, name: str = "m", **info: object) -> str:
    path = folder / f"{name}.generator.safetensors"
    save_network(path, SNGANGenerator([4, 4], num_classes=classes), "generator", info)
    return str(path)


# ---------------------------------------------------------------------- the tables


def test_dogs_and_cats_are_imagenets_in_their_order() -> None:
    """The original code takes ImageNet's label minus 151."""
    found = published()["dogs-cats"]
    assert (len(found.names), len(set(found.ids))) == (143, 143)
    assert found.ids == tuple(imagenet())[151:294]
    assert (found.names[0], found.ids[0]) == ("Chihuahua", "n02085620")
    assert (found.names[281 - 151], found.names[-1]) == ("tabby", "cheetah")


def test_flowers_are_oxfords_in_their_order() -> None:
    names = published()["flowers"].names
    assert (len(names), len(set(names))) == (102, 102)
    assert [names[k - 1] for k in (1, 5, 52, 74, 102)] == [
        "pink primrose", "english marigold", "wild pansy", "rose", "blackberry lily"
    ]  # fmt: skip
    official = getattr(pytest.importorskip("torchvision.datasets").Flowers102, "classes", None)
    if official is None:
        pytest.skip("this torchvision does not name the flowers")
    assert list(names) == [name.rstrip("?") for name in official]


def test_every_name_of_imagenet_leads_to_its_id() -> None:
    """Two are told apart by a capital letter alone: the dog and the clothing."""
    assert [id_of(name) for name in imagenet().values()] == list(imagenet())
    assert (id_of("Cardigan"), id_of("cardigan")) == ("n02113186", "n02963159")
    assert id_of("CARDIGAN") == ""
    assert id_of("golden_Retriever") == "n02099601"
    assert [*imagenet()].index("n02113186") - 151 == published()["dogs-cats"].names.index("Cardigan")


# ---------------------------------------------------------------------- whose names they are


@pytest.mark.parametrize(("count", "first", "last"), [
    (143, "Chihuahua", "cheetah"), (102, "pink primrose", "blackberry lily"), (1000, "tench", "toilet tissue")
])  # fmt: skip
def test_sets_are_assumed_by_their_number_and_said_to_be(tmp_path: Path, count: int, first: str, last: str) -> None:
    file = write(tmp_path, count)
    for known in (read_classes(file), load_model(file)):
        assert (known.class_names[0], known.class_names[-1]) == (first, last)
        assert is_assumed(known.names_from)
        assert str(count) in known.names_from
    model = load_model(file)
    assert model.class_index("class 7") == 7, "what recipes of before say"
    assert model.class_index(f"class {count - 1}") == count - 1
    with pytest.raises(PhotograftError, match="unknown class"):
        model.class_index(f"class {count}")


def test_other_numbers_are_no_set(tmp_path: Path) -> None:
    assert assumed(142) is None
    found = read_classes(write(tmp_path, 142))
    assert (found.class_names[5], found.class_ids[5], found.names_from) == ("class 5", "", "")


def test_the_file_says_more_than_a_number(tmp_path: Path) -> None:
    names = [f"breed {i}" for i in range(143)]
    found = read_classes(write(tmp_path, 143, class_names=names))
    assert (found.class_names, found.names_from) == (names, "the file")
    ids = ["n02085620", *[""] * 142]
    assert load_model(write(tmp_path, 143, class_names=names, class_ids=ids)).class_index("imagenet:151") == 0
    for wrong in ({"class_ids": ids[:5]}, {"class_ids": ["x"] * 143}):
        with pytest.raises(PhotograftError, match="is damaged"):
            read_classes(write(tmp_path, 143, **wrong))


def test_a_table_beside_the_file_says_more_than_both(tmp_path: Path) -> None:
    file = write(tmp_path, 3, class_names=["a", "b", "c"])
    table = tmp_path / "m.names.csv"
    table.write_text('# in the order of labels\nn02123045,My cat\n"lion, old"\n\nn02099601\n', encoding="utf-8-sig")
    model = load_model(file)
    assert model.class_names == ["My cat", "lion, old", "golden retriever"]
    assert model.class_ids == ["n02123045", "", "n02099601"]
    assert model.names_from == str(table)
    assert [model.class_index(word) for word in ("n02123045", "imagenet:207", "1", "retriever")] == [0, 2, 1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\n", "names 2 classes, and the network has 3"),
        (b"a\nb\na\n", "'a' is the name of several classes"),
        (b"# nothing\n", "names no class"),
        (b"a\nb,c\nd\n", "line 2 is 'b,c': expected NAME or WORDNET-ID,NAME"),
        (b'a\n"b\nc\n', "line 2 .*expected"),
        (b"a\nn02123045,\nc\n", "line 2 .*expected"),
        (b"a\n" + b"b" * 300 + b"\nc\n", "line 2"),
        (b"a\n\xff\nc\n", "no text"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    table = tmp_path / "m.names.csv"
    table.write_bytes(content)
    with pytest.raises(PhotograftError, match=message) as error:
        read_classes(write(tmp_path, 3))
    assert "\n" not in str(error.value)


def test_given_by_the_name_of_a_set(tmp_path: Path) -> None:
    assert given("dogs-cats", 143) == published()["dogs-cats"]
    with pytest.raises(PhotograftError, match="flowers names 102 classes, and the network has 143"):
        given("flowers", 143)
    with pytest.raises(PhotograftError, match="not found"):
        given(tmp_path / "nothing.csv", 143)


# ---------------------------------------------------------------------- which class a word means

DOGS = published()["dogs-cats"]


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("Chihuahua", 0), ("chihuahua", 0), ("n02085620", 0), ("N02085620", 0), ("0", 0), ("imagenet:151", 0),
        ("ImageNet: 151", 0), ("imagenet:293", 142), ("142", 142), ("golden-retriever", 56), ("n02123045", 130),
        ("cheetah", 142), ("class 3", 3),
    ],
)  # fmt: skip
def test_id_name_and_number_mean_one_class(word: str, label: int) -> None:
    assert class_number(word, DOGS.names, DOGS.ids, "m") == label


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("151", "has the classes 0-142; ImageNet's 151 is 'Chihuahua', class 0 here: write imagenet:151"),
        ("143", r"has the classes 0-142 \(infer"),
        ("imagenet:150", r"it is sea lion \(n02077923\), which model m does not have"),
        ("imagenet:1000", "ImageNet has the classes 0-999"),
        ("n01440764", r"it is tench \(n01440764\), which"),
        ("n99999999", "it is one that model m does not have"),
        ("imagenet:x", "unknown class"),
        ("0151", "unknown class"),
        ("spaniel", "could be any of: Japanese spaniel, Blenheim spaniel"),
    ],
)
def test_words_that_mean_no_class_here(word: str, message: str) -> None:
    with pytest.raises(PhotograftError, match=message) as error:
        class_number(word, DOGS.names, DOGS.ids, "m")
    assert "\n" not in str(error.value)


def test_names_have_ids_without_being_told() -> None:
    names = ["black cat", "golden retriever", "n02123045-tiger", "lion"]
    assert [class_number(f"imagenet:{k}", names, (), "m") for k in (207, 281, 291)] == [1, 2, 3]
    assert class_number("n02129165", names, (), "m") == 3
    twice = ["n02129165", "lion"]
    assert class_number("n02129165", twice, (), "m") == 0, "to the letter"
    with pytest.raises(PhotograftError, match="could be any of: n02129165, lion"):
        class_number("imagenet:291", twice, (), "m")


def test_a_name_may_look_like_a_number_of_imagenets() -> None:
    assert class_number("imagenet:5", ["a", "imagenet:5"], (), "m") == 1
    assert class_number("151", ["7", "151"], (), "m") == 1
