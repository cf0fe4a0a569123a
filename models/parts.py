"""The files of a model: what they are called. All of them lie in one folder and begin with the model's stem."""

from pathlib import Path

from models.names import published

PARTS = {  # of the files' names -> kind of network
    "generator": "generator",
    "discriminator": "discriminator",
    "projected": "discriminator",
    "encoder": "encoder",
    "auxiliary": "auxiliary",
}
GENERATOR = ".generator.safetensors"
ENDINGS = (  # of every file that may belong to a model
    *(f".{part}.safetensors" for part in PARTS),
    published.SUFFIX,
    ".catalog.safetensors",
    ".catalog.yaml",
)


def model_files(stem: Path) -> dict[str, Path]:
    """The networks' files of a model that exist, by part; the generator's comes first."""
    paths = {part: stem.with_name(f"{stem.name}.{part}.safetensors") for part in PARTS}
    alone = stem.with_name(f"{stem.name}.safetensors")  # a generator's file that is not named by our scheme
    if not paths["generator"].is_file() and alone.is_file():
        paths["generator"] = alone
    return {part: path for part, path in paths.items() if path.is_file()}
