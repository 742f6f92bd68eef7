"""PyTorch twins of R3D-ConvLSTM: torchvision's r3d_18 by its tensors' names, and the ConvLSTM."""

import numpy as np
import torch
from torch import nn

from tests.twins.fill import fill


def convolution(before, maps, kernel, stride=1, padding=0):
    """A convolution without bias and its normalisation, numbered as torchvision numbers them."""
    conv = nn.Conv3d(before, maps, kernel, stride, padding, bias=False)
    return [conv, nn.BatchNorm3d(maps)]


class Block(nn.Module):
    def __init__(self, before, maps, stride):
        super().__init__()
        self.conv1 = nn.Sequential(*convolution(before, maps, 3, stride, 1), nn.ReLU())
        self.conv2 = nn.Sequential(*convolution(maps, maps, 3, 1, 1))
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(*convolution(before, maps, 1, stride))

    def forward(self, x):
        same = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.conv2(self.conv1(x)) + same)


class R3D18(nn.Module):
    """x [B, 3, T, H, W] -> features [B, F, T', H', W']; `fc` is there for its name only."""

    def __init__(self, base=64, classes=400):
        super().__init__()
        self.stem = nn.Sequential(*convolution(3, base, (3, 7, 7), (1, 2, 2), (1, 3, 3)), nn.ReLU())
        before = base
        for number in range(4):
            maps, stride = base << number, 1 if number == 0 else 2
            stage = nn.Sequential(Block(before, maps, stride), Block(maps, maps, 1))
            setattr(self, f"layer{number + 1}", stage)
            before = maps
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = self.stem(x)
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return x


class ConvLSTM(nn.Module):
    """Equations 1 to 5, one convolution over input and state; gates in the order i, f, o, c."""

    def __init__(self, before, maps, size):
        super().__init__()
        self.maps = maps
        self.conv = nn.Conv2d(before + maps, 4 * maps, 3, padding=1)
        self.peepholes = nn.Parameter(torch.zeros(3, maps, *size))

    def step(self, x, h, c):
        i, f, o, g = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
        to_i, to_f, to_o = self.peepholes
        i, f = torch.sigmoid(i + to_i * c), torch.sigmoid(f + to_f * c)
        c = f * c + i * torch.tanh(g)
        return torch.sigmoid(o + to_o * c) * torch.tanh(c), c

    def start(self, x):
        zeros = x.new_zeros(x.shape[0], self.maps, *x.shape[-2:])
        return zeros, zeros

    def forward(self, x):
        """x [B, T, C, H, W] -> h [B, T, F, H, W]."""
        h, c = self.start(x)
        out = []
        for frame in x.unbind(1):
            h, c = self.step(frame, h, c)
            out.append(h)
        return torch.stack(out, 1)


class AutoEncoder(nn.Module):
    """Features [B, C, T, H, W] -> logits [B, K]: two cells read, two cells say, 1 x 3 x 3, mean."""

    def __init__(self, before, maps, size, classes):
        super().__init__()
        self.encoder = nn.ModuleList([ConvLSTM(n, maps, size) for n in (before, maps)])
        self.decoder = nn.ModuleList([ConvLSTM(maps, maps, size) for _ in range(2)])
        self.head = nn.Conv3d(maps, classes, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, x):
        x = x.transpose(1, 2)
        time = x.shape[1]
        for cell in self.encoder:
            x = cell(x)
        x = x[:, -1]
        states = [cell.start(x) for cell in self.decoder]
        said = []
        for _ in range(time):
            for number, cell in enumerate(self.decoder):
                states[number] = cell.step(x, *states[number])
                x = states[number][0]
            said.append(x)
        maps = self.head(torch.stack(said, 2))
        return nn.functional.adaptive_avg_pool3d(maps, 1).flatten(1)


def filled(network, gain=1.0):
    """`network` with the numbers of `fill`, in evaluation mode."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    values = fill(shapes, gain=gain)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    return network.eval()


def answers(network, x):
    """(output, dx, {name: gradient}) of sum(output * probe) for `network` and the input x."""
    x = torch.from_numpy(x).requires_grad_()
    output = network(x)
    probe = fill({"probe": tuple(output.shape)})["probe"]
    (output * torch.from_numpy(probe)).sum().backward()
    grads = {n: p.grad.numpy() for n, p in network.named_parameters() if p.grad is not None}
    return output.detach().numpy(), x.grad.numpy(), grads


def golden(network, shape, gain=1.0):
    """All that a test without PyTorch needs: names and shapes, the answers for one filled input.

    Of each parameter's gradient only its product with a filled tensor is kept.
    """
    x = fill({"input": shape})["input"]
    output, dx, grads = answers(filled(network, gain), x)
    probes = fill({name: grad.shape for name, grad in grads.items()}, seed=1)
    state = network.state_dict()
    rank = max(value.ndim for value in state.values())
    return {
        "names": np.array(list(state)),
        "shapes": np.array([[*v.shape, *[-1] * (rank - v.ndim)] for v in state.values()], np.int32),
        "output": output,
        "input_gradient": dx,
        "gradients": np.array([np.vdot(probes[n], g) for n, g in grads.items()], np.float32),
    }


# What tests/golden holds; a cell passes little on at the gain of a ReLU.
CELLS_GAIN = 4.0
GOLDEN = {
    "r3d_18": lambda: golden(R3D18(), (1, 3, 4, 24, 20)),
    "conv_lstm": lambda: golden(AutoEncoder(8, 4, (3, 2), 3), (2, 8, 3, 3, 2), CELLS_GAIN),
}
