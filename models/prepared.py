"""Networks made ready for inference: frozen copies, made once."""

import copy
import itertools
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from models.discriminators.sn_projection import SNProjectionDiscriminator

_PREPARED = "prepared_form"  # attribute of prepared networks


_Form = tuple[torch.dtype, bool]
_COPIES: WeakKeyDictionary[nn.Module, dict[_Form, tuple[object, nn.Module]]] = WeakKeyDictionary()


def prepare(network: Any, dtype: torch.dtype = torch.float32, channels_last: bool = False) -> Any:
    """A frozen copy of a network for inference, its spectral norm folded into the weights.

    What came from here in the same form already comes back as it is.
    """
    if not isinstance(network, nn.Module) or getattr(network, _PREPARED, None) == (dtype, channels_last):
        return network
    frozen = network.folded() if isinstance(network, SNProjectionDiscriminator) else copy.deepcopy(network)
    frozen = frozen.eval().requires_grad_(False).to(dtype)
    if channels_last:
        frozen = frozen.to(memory_format=torch.channels_last)
    setattr(frozen, _PREPARED, (dtype, channels_last))
    return frozen


def prepare_once(network: Any, dtype: torch.dtype = torch.float32, channels_last: bool = False) -> Any:
    """`prepare`, whose copy is kept as long as the network lives, and made again when its weights have changed."""
    if not isinstance(network, nn.Module) or getattr(network, _PREPARED, None) == (dtype, channels_last):
        return network
    form = (dtype, channels_last)
    state = tuple((t.data_ptr(), t._version) for t in itertools.chain(network.parameters(), network.buffers()))
    copies = _COPIES.setdefault(network, {})
    if form not in copies or copies[form][0] != state:
        copies[form] = (state, prepare(network, dtype, channels_last))
    return copies[form][1]
