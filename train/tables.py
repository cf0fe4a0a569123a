"""Class tables of conditional batch norm with a row per group of classes (species) added while training.

Rare classes of a group learn together; `folded` adds the rows up, so that the exported file is an ordinary generator.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from models.base import Generator
from models.generators.sngan import ConditionalBatchNorm2d


class GroupedTable(nn.Module):
    """A class's row = its own + its group's.

    Args:
        group_of_class: int64 [K], a group number per class.
        channels: width of the table.
    """

    index: Tensor

    def __init__(self, group_of_class: Tensor, channels: int) -> None:
        super().__init__()
        self.register_buffer("index", group_of_class)
        self.group = nn.Parameter(torch.zeros(int(group_of_class.max()) + 1, channels))

    def forward(self, table: Tensor) -> Tensor:  # [K,C] -> [K,C]
        """The whole table."""
        return table + self.group.index_select(0, self.index)


def add_group_tables(generator: Generator, group_of_class: Tensor) -> None:
    """Make every class table the sum of a class's and its group's rows, in place; the pictures stay the same."""
    for norm in _norms(generator):
        for name in ("gamma", "beta"):
            channels = norm.gamma.shape[1]
            parametrize.register_parametrization(norm, name, GroupedTable(group_of_class, channels))


@torch.no_grad()
def folded(generator: Generator) -> Generator:
    """A copy whose class tables have their groups' rows added in: an ordinary generator again.

    It is built anew: removing a parametrization from a deep copy would take it from the original's class as well.
    """
    plain = type(generator)(**generator.config)
    state = {key: value for key, value in generator.state_dict().items() if ".parametrizations." not in key}
    for name, module in generator.named_modules():
        if isinstance(module, ConditionalBatchNorm2d):
            state |= {f"{name}.gamma": module.gamma, f"{name}.beta": module.beta}
    plain.load_state_dict(state)
    return plain.to(next(generator.parameters()).device).train(generator.training)


def table_parameters(generator: Generator) -> list[nn.Parameter]:
    """The parameters of all class tables and their groups' rows."""
    return [parameter for norm in _norms(generator) for parameter in norm.parameters()]


def _norms(generator: Generator) -> list[ConditionalBatchNorm2d]:
    return [module for module in generator.modules() if isinstance(module, ConditionalBatchNorm2d)]
