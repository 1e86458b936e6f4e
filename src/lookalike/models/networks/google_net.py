"""GoogLeNet up to its last feature map, from torchvision."""

from __future__ import annotations

from torch import nn

_CLASSIFIER = ("aux1", "aux2", "avgpool", "dropout", "fc")


class GoogLeNet(nn.Sequential):
    """GoogLeNet with batch norm (Szegedy et al., CVPR 2015), 1,024 channels at a 32nd of the size.

    torchvision's weights come from TensorFlow, whose images lay in −1 … 1; torchvision rescales
    ImageNet-normalised images to that inside the network, here mean and scale say it.

    Args:
        pretrained: with torchvision's ImageNet weights.

    Raises:
        OSError: the weights cannot be reached.
    """

    num_features = 1024
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, pretrained: bool = False) -> None:
        from torchvision.models import GoogLeNet_Weights, googlenet

        whole = googlenet(weights=None, aux_logits=False, init_weights=not pretrained)
        super().__init__()
        for name, layer in whole.named_children():
            if name not in _CLASSIFIER:
                self.add_module(name, layer)
        if pretrained:
            published = GoogLeNet_Weights.IMAGENET1K_V1
            state = published.get_state_dict(progress=False, check_hash=True)
            kept = {k: v for k, v in state.items() if k.split(".")[0] not in _CLASSIFIER}
            self.load_state_dict(kept, strict=True)
