"""What a file of arrays resembles when no reader knows it: by a few names of each kind of network, known or not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.checkpoints.arrays import some
from models.checkpoints.told import told
from models.checkpoints.wrappers import View, is_array

SHOWN = 8  # names of a listing
ENOUGH = 0.5  # of a kind's names


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    Attributes:
        name: for the user.
        names: of arrays that it has, whatever its size.
        readable: whether there is a reader for it.
    """

    name: str
    names: tuple[str, ...]
    readable: bool = False


def _kind(name: str, *names: str) -> Kind:
    return Kind(name, tuple(part for line in names for part in line.split()))


def _known(name: str, *names: str) -> Kind:
    return Kind(name, _kind(name, *names).names, readable=True)


KINDS = (
    _known(
        "StyleGAN2 of NVIDIA",
        "synthesis.b4.const synthesis.b4.conv1.weight synthesis.b4.torgb.weight synthesis.b8.conv0.weight",
        "mapping.fc0.weight mapping.fc1.bias synthesis.b8.conv1.affine.weight",
    ),
    _known(
        "StyleGAN2 of rosinality",
        "input.input conv1.conv.weight conv1.conv.modulation.weight conv1.activate.bias to_rgb1.conv.weight",
        "convs.0.conv.weight convs.1.conv.modulation.bias to_rgbs.0.conv.weight style.1.weight",
    ),
    _known(
        "StyleGAN2 of BasicSR",
        "constant_input.weight style_conv1.modulated_conv.weight style_conv1.activate.bias style_mlp.1.weight",
        "style_convs.0.modulated_conv.weight to_rgbs.0.modulated_conv.weight",
    ),
    _known(
        "StyleGAN of rosinality",
        "generator.progression.0.conv1.input generator.progression.0.conv2.conv.weight_orig",
        "generator.progression.0.adain1.style.linear.bias generator.to_rgb.0.conv.bias style.1.linear.weight_orig",
    ),
    _known(
        "StyleGAN of lernapparat or GANLocalEditing",
        "g_synthesis.blocks.4x4.const g_synthesis.blocks.4x4.conv.weight g_mapping.dense0.weight",
        "g_synthesis.torgb.weight g_synthesis.blocks.8x8.conv1.weight",
    ),
    _known(
        "Progressive GAN of pytorch_GAN_zoo",
        "formatLayer.module.weight groupScale0.0.module.weight toRGBLayers.0.module.weight",
        "scaleLayers.0.0.module.weight",
    ),
    _known(
        "StyleGAN of NVIDIA, TensorFlow",
        "G_synthesis/4x4/Const/const G_synthesis/4x4/Conv/weight G_mapping/Dense0/weight G_synthesis/8x8/Conv1/bias",
        "G_synthesis/4x4/Conv/StyleMod/weight",
    ),
    _known(
        "StyleGAN2 of NVIDIA, TensorFlow",
        "G_synthesis/4x4/Const/const G_synthesis/4x4/Conv/weight G_mapping/Dense0/weight G_synthesis/8x8/Conv1/bias",
        "G_synthesis/4x4/Conv/mod_weight G_synthesis/8x8/ToRGB/mod_weight",
    ),
    _known(
        "Progressive GAN of NVIDIA, TensorFlow",
        "4x4/Dense/weight 4x4/Conv/weight 8x8/Conv1/weight ToRGB_lod0/weight lod",
    ),
    _known("a Chainer snapshot of the collaging code", "l1/W block2/c1/W block2/c2/W block3/c1/W block2/b1/avg_mean"),
    _kind("StyleGAN3 of NVIDIA", "synthesis.input.weight synthesis.input.freqs mapping.fc0.weight mapping.w_avg"),
    _kind(
        "EG3D of NVIDIA",
        "backbone.synthesis.b4.const backbone.mapping.fc0.weight superresolution.block0.conv0.weight",
        "decoder.net.0.weight",
    ),
    _kind(
        "an encoder of pSp or e4e (photo to w+)",
        "input_layer.0.weight input_layer.1.weight body.0.res_layer.0.weight styles.0.linear.weight latlayer1.weight",
    ),
    _known(
        "BigGAN of ajbrock",
        "shared.weight linear.weight blocks.0.0.conv1.weight blocks.0.0.bn1.gain.weight output_layer.0.gain",
    ),
    _known(
        "BigGAN of TensorFlow Hub",
        "module/linear/w/ema_b999900:0 module/Generator/GBlock/conv0/w/ema_b999900:0",
        "module/Generator/G_Z/G_linear/w/ema_b999900:0",
    ),
    _known(
        "BigGAN-deep of Hugging Face",
        "embeddings.weight generator.gen_z.weight_orig generator.layers.0.conv_0.weight_orig",
        "generator.bn.running_means",
    ),
    _kind(
        "GFPGAN, which restores faces and draws none",
        "conv_body_first.weight conv_body_down.0.conv1.weight condition_scale.0.0.weight final_linear.weight",
        "stylegan_decoder.style_conv1.modulated_conv.weight",
    ),
    _kind(
        "ESRGAN, which enlarges pictures and draws none",
        "conv_first.weight conv_body.weight conv_up1.weight conv_hr.weight conv_last.weight body.0.rdb1.conv1.weight",
    ),
    _kind(
        "ESRGAN (first names), which enlarges pictures and draws none",
        "conv_first.weight RRDB_trunk.0.RDB1.conv1.weight trunk_conv.weight upconv1.weight HRconv.weight",
    ),
    _kind(
        "CycleGAN or pix2pix, which translates pictures and draws none",
        "model.1.weight model.4.weight model.7.weight model.10.conv_block.1.weight model.26.weight",
    ),
    _kind("DCGAN", "main.0.weight main.1.running_mean main.3.weight main.4.running_mean main.6.weight"),
    _kind(
        "a ResNet, which classifies",
        "conv1.weight bn1.running_mean layer1.0.conv1.weight layer4.0.conv1.weight fc.weight",
    ),
    _kind(
        "a VGG or AlexNet, which classifies",
        "features.0.weight features.3.weight classifier.1.weight classifier.6.weight",
    ),
    _kind("an Inception network, which judges", "Conv2d_1a_3x3.conv.weight Mixed_5b.branch1x1.conv.weight fc.weight"),
    _kind("CLIP", "text_projection logit_scale visual.conv1.weight transformer.resblocks.0.attn.in_proj_weight"),
    _kind(
        "a diffusion model",
        "time_embed.0.weight input_blocks.0.0.weight middle_block.0.in_layers.0.weight out.0.weight",
    ),
    _kind(
        "a diffusion model (diffusers)",
        "conv_in.weight time_embedding.linear_1.weight mid_block.resnets.0.conv1.weight conv_out.weight",
    ),
    _kind(
        "Stable Diffusion",
        "model.diffusion_model.time_embed.0.weight first_stage_model.encoder.conv_in.weight betas alphas_cumprod",
    ),
    _kind("an optimizer's state without the network", "state param_groups"),
    _kind(
        "a VQGAN or an autoencoder",
        "encoder.conv_in.weight decoder.conv_in.weight quant_conv.weight decoder.conv_out.weight",
    ),
    _kind(
        "a transformer",
        "blocks.0.attn.qkv.weight blocks.0.mlp.fc1.weight pos_embed patch_embed.proj.weight norm.weight",
    ),
)


def nearest(names: Iterable[str]) -> tuple[Kind, list[str]] | None:
    """The kind of which most names are there, with those that are missing; None if no kind has enough of them."""
    present = set(names)
    missing = {kind: [name for name in kind.names if name not in present] for kind in KINDS}
    best = min(KINDS, key=lambda kind: len(missing[kind]) / len(kind.names))
    return (best, missing[best]) if len(missing[best]) <= (1 - ENOUGH) * len(best.names) else None


def main_view(views: Iterable[View]) -> View | None:
    """The view that shows most of a file: the nearest to a known kind, or else that of most arrays."""

    def rank(view: View) -> tuple[float, int]:
        found = nearest(view.content)
        share = 1 - len(found[1]) / len(found[0].names) if found else 0.0
        return share, sum(map(is_array, view.content.values()))

    shown = [view for view in views if isinstance(view.content, Mapping)]
    return max(shown, key=rank, default=None)


def resemblance(view: View | None) -> str:
    """What a file resembles, in half a sentence."""
    found = nearest(view.content) if view else None
    if found is None:
        return "it resembles no network that is known here"
    kind, missing = found
    if not kind.readable:
        return f"it looks like {kind.name}: there is no reader for it"
    if missing:
        return f"nearest is {kind.name}, of whose names {some(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    return f"it resembles {kind.name}, but is not laid out as its files are"


def listing(view: View | None, content: Any) -> list[str]:
    """The first names with their shapes, a screen at most."""
    if view is None:
        return [f"it holds {told(content)}, and no arrays by name"]
    inside = f" in {' > '.join(told(name) for name in view.where)}" if view.where else ""
    arrays = [name for name, value in view.content.items() if is_array(value)]
    others = [name for name, value in view.content.items() if not is_array(value)]
    lines = [f"{len(arrays)} arrays and {len(others)} other entries{inside}:"]
    shown = (arrays + others)[:SHOWN]
    for name in shown:
        value = view.content[name]
        lines.append(f"  {told(name)}: {list(value.shape) if is_array(value) else told(value)}")
    if len(view.content) > len(shown):
        lines.append(f"  and {len(view.content) - len(shown)} more")
    lines += [f"beside it: {told(name)}, {len(part)} entries" for name, part in list(view.beside.items())[:SHOWN]]
    return lines
