"""Names of network families -> classes, so that files and configs can say which network they hold.

The families' modules are imported when one is asked for: who only names a network does not wait for torch.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from models.errors import PhotograftError
from models.schema import check_arguments, short

if TYPE_CHECKING:
    from models.base import Configurable, Generator

T = TypeVar("T", bound="Configurable")


class Registry(Generic[T]):
    """Families of one kind of network, by name.

    Args:
        kind: of network, for errors.
        home: the module that holds them, or the package in each of whose modules there may be some.
    """

    def __init__(self, kind: str, home: str) -> None:
        self.kind, self.home = kind, home
        self._registered: dict[str, type[T]] = {}

    @property
    def _classes(self) -> dict[str, type[T]]:
        """All of them: their modules register them when they are imported."""
        home = importlib.import_module(self.home)
        for module in pkgutil.iter_modules(getattr(home, "__path__", ()), f"{self.home}."):
            importlib.import_module(module.name)
        return self._registered

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator: make the class known under this name."""

        def decorate(cls: type[T]) -> type[T]:
            if name in self._registered:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._registered[name] = cls
            return cls

        return decorate

    def create(self, name: str, /, **config: Any) -> T:
        """Build a network with fresh weights.

        Raises:
            PhotograftError: an unknown name, or a config that is not as the class's annotations say.
        """
        classes = self._classes
        if name not in classes:
            raise PhotograftError(f"unknown {self.kind} {short(name)}{suggest(name, classes)}")
        check_arguments(classes[name], config, f"config does not fit {self.kind} {name!r}")
        return classes[name](**config)

    def name_of(self, network: Configurable) -> str:
        """The name under which a network's class is registered."""
        for name, cls in self._classes.items():
            if type(network) is cls:
                return name
        raise ValueError(f"{type(network).__name__} is not a registered {self.kind}")

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self._classes)


def suggest(name: str, known: Iterable[str]) -> str:
    """': did you mean ...?' for an error line, or the known names when nothing is near."""
    names, name = list(known), name[:200]  # comparing takes time
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or [n for n in names if name.lower() in n.lower()]
    if near:
        return f": did you mean {', '.join(near[:5])}?"
    if not names:
        return ""
    return f": choose from {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"


generators: Registry[Generator] = Registry("generator", "models.generators")
discriminators: Registry[Configurable] = Registry("discriminator", "models.discriminators")
encoders: Registry[Configurable] = Registry("encoder", "models.encoder")
auxiliaries: Registry[Configurable] = Registry("auxiliary network", "models.auxiliary")
locators: Registry[Configurable] = Registry("locator", "models.perception.locator")
finishers: Registry[Configurable] = Registry("finisher", "models.finisher")
poses: Registry[Configurable] = Registry("pose network", "models.perception.pose")

KINDS: dict[str, Registry[Any]] = {
    "generator": generators,
    "discriminator": discriminators,
    "encoder": encoders,
    "auxiliary": auxiliaries,
    "locator": locators,
    "finisher": finishers,
    "pose": poses,
}

register_generator = generators.register
create_generator = generators.create
list_generators = generators.names
