"""Settling: a few updates of the latent for one edit, so that the animal stays where it is in the photo.

Projection finds one latent for all classes, and each class draws its heads where its heads usually are. So an edit may
move its latent a little: towards the photo's outline in what the edit shows, without losing the class asked for. The
outline wanted is the segmentation's of the photo; the one shown is read by the projected discriminator's small layers
(`models.perception.outline`), and the class by its classifier.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from infer.edits.scbn import Region, region_weights
from infer.projection.mixture import shares
from models.base import Generator, Modulation, StyleGenerator
from models.errors import PhotograftError, UnsupportedEdit
from models.perception.outline import shrunk, soft_iou
from models.prepared import Networks
from models.projection.adam import Adam
from models.schema import Positive, Steps, Weight, bounded
from models.zoo import Model

LEARNING_RATE = 0.1  # of Adam on z; it falls to zero
SHAPE_WEIGHT, CLASS_WEIGHT = 5.0, 3.0  # of 1 - soft IoU, and of what the classes lack
# Divergence from the classes asked for that is good enough: more pulls towards the head that a class usually shows,
# which looks at the viewer. 0.7 is half of the likelihood.
ENOUGH = 0.7


@dataclass(frozen=True)
class SettlingTarget:
    """What N edited pictures shall show.

    Attributes:
        outline: [N,H,W] in [0,1], where the animal is in the photos; a picture without any is left as it is.
        classes: [N,num_classes], how much of each class there is; of sum 1.
    """

    outline: Tensor
    classes: Tensor

    @classmethod
    def of_edit(cls, outline: Tensor, label: Tensor, regions: Sequence[Region], num_classes: int) -> "SettlingTarget":
        """Of one photo of a class [1], or of a mixture's weights [1,num_classes], with its outline [H,W]: each class by
        how much of the animal has it."""
        weights = region_weights([r.mask for r in regions], [r.strength for r in regions])  # [1,1+R,H,W]
        parts = (weights * outline).sum((2, 3)) / outline.sum().clamp_min(1e-6)  # [1,1+R]
        classes = shares(label, num_classes) * parts[:, :1]
        classes.index_add_(1, torch.tensor([r.target for r in regions]), parts[:, 1:])
        return cls(outline[None], classes)


def settles(model: Model) -> bool:
    """Whether the model can tell outlines and classes of its pictures."""
    return model.projected is not None and model.projected.outline.fitted and model.generator.num_classes > 0


def shown(
    generator: Generator, latent: Tensor, mix: Callable[[Tensor], Sequence[Modulation]]
) -> Callable[[Tensor], Tensor]:
    """Edited pictures of latents [N,latent_dim], for `settle`.

    Args:
        generator: that makes them.
        latent: of the kind that will be shown.
        mix: edited modulations of latents. Where the classes alone make them they are mixed once, in the generator's
            dtype and layout.
    """
    if isinstance(generator, StyleGenerator):
        return lambda z: generator.synthesize(z, mix(z))
    weight = next(p for p in generator.parameters() if p.ndim == 4)
    last = weight.is_contiguous(memory_format=torch.channels_last)

    def held(t: Tensor) -> Tensor:
        return t.to(weight.dtype, memory_format=torch.channels_last if last and t.ndim == 4 else torch.preserve_format)

    with torch.no_grad():
        fixed = [modulation.map(held) for modulation in mix(latent)]
    return lambda z: generator.synthesize(z, fixed)


@bounded
def settle(
    networks: Networks,
    latent: Tensor,
    wanted: SettlingTarget,
    show: Callable[[Tensor], Tensor],
    *,
    steps: Steps,
    learning_rate: Positive = LEARNING_RATE,
    shape_weight: Weight = SHAPE_WEIGHT,
    class_weight: Weight = CLASS_WEIGHT,
) -> Tensor:
    """Latents whose edited pictures have the outlines and classes wanted.

    Minimises shape_weight * (1 - soft IoU) + class_weight * (D - ENOUGH, from 0 up) by Adam, where D is the
    Kullback-Leibler divergence of the classes told from those asked for. No latent goes farther out of the prior than
    it was: there classes are lost.

    Args:
        networks: with a projected discriminator that reads outlines.
        latent: z [N,latent_dim].
        wanted: of the N pictures.
        show: edited pictures [N,3,R,R] in [-1,1] of latents [N,latent_dim]; differentiable.
        steps: updates.
        learning_rate, shape_weight, class_weight: see above.

    Returns:
        As latent, where that is.

    Raises:
        UnsupportedEdit: a model that reads no outlines, or latents that are not z.
        PhotograftError: a loss that is not a number.
    """
    network = networks.projected
    if network is None or not settles(networks.model):
        raise UnsupportedEdit(f"model {networks.model.name} reads no outlines or classes: its edits cannot be settled")
    if latent.ndim != 2:
        raise UnsupportedEdit("only edits of z can be settled, not those of w or w+: project in z, or settle 0 updates")
    shown = (wanted.outline.flatten(1).amax(1) > 0.5).to(latent.device)
    z = latent.detach().to(networks.device)
    radius, adam, classes = z.norm(dim=1, keepdim=True), Adam.start(z), wanted.classes.to(networks.device)
    entropy = torch.special.entr(classes).sum(1)
    outline: Tensor | None = None
    for t in range(steps):
        z = z.requires_grad_()
        with torch.enable_grad():
            image = show(z).contiguous(memory_format=torch.channels_last)
            seen = network.project(image.to(network.classifier.weight.dtype))
            found = network.outline(seen.stages)
            if outline is None:
                outline = shrunk(wanted.outline, found)
            divergence = F.cross_entropy(network.classify(seen).float(), classes, reduction="none") - entropy
            loss = shape_weight * (1 - soft_iou(found, outline)) + class_weight * F.relu(divergence - ENOUGH)
            total = loss.sum()
        (gradient,) = torch.autograd.grad(total, z)
        if not bool(gradient.isfinite().all()):
            raise PhotograftError("the loss of settling is not a number: the weights are unusable")
        z = adam.step(z.detach(), gradient, learning_rate * (1 - t / steps) ** 0.5)
        z = z * (radius / z.norm(dim=1, keepdim=True).clamp_min(1e-6)).clamp_max(1)
    return torch.where(shown[:, None], z.to(latent.device), latent)
