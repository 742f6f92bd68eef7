"""PyTorch twins of the networks, with our names for their tensors and our layout for their input.

Dropout is left out: the tests compare at rate 0. A twin takes [B, ..., C] and flattens maps with
channels last, so that a tensor of ours differs from its twin's by the order of its axes only.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional as F


def first(x):
    """Channels second, as PyTorch's layers want them."""
    return x.movedim(-1, 1)


def flat(x):
    """[B, C, ...] -> [B, ... C]."""
    return x.movedim(1, -1).flatten(1)


class RCL(nn.Module):
    def __init__(self, before, maps, steps, kernel, shared):
        super().__init__()
        self.feedforward = nn.Conv2d(before, maps, kernel, padding=kernel // 2, bias=False)
        if steps:
            self.recurrent = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        count = 1 if shared else steps + 1
        self.norms = nn.ModuleList([nn.BatchNorm2d(maps) for _ in range(count)])
        self.steps = steps

    def forward(self, u):
        v = None
        for n in range(self.steps + 1):
            z = self.feedforward(u)
            if v is not None:
                z = z + self.recurrent(v)
            v = F.relu(self.norms[0 if len(self.norms) == 1 else n](z))
        return v


class Recurrent(nn.Module):
    """STRCN and MER-RCNN by the pools of their tables."""

    def __init__(
        self, pools, classes, channels, maps, recurrent_layers=4, statistics="separate", steps=3
    ):
        super().__init__()
        depth = recurrent_layers or 4
        steps, kernel = (steps, 1) if recurrent_layers else (0, 3)
        self.pools = pools[:depth]
        self.conv = nn.Conv2d(channels, maps, 5, bias=False)
        self.norm = nn.BatchNorm2d(maps)
        shared = statistics == "shared"
        layers = [RCL(maps, maps, steps, kernel, shared) for _ in self.pools]
        self.layers = nn.ModuleList(layers)
        self.classifier = nn.Linear(maps, classes)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(first(x))))
        for pool, layer in zip(self.pools, self.layers):
            x = layer(F.max_pool2d(x, pool))
        return self.classifier(x.mean((2, 3)))


class STSTNet(nn.Module):
    """The three streams as they are published, from the tensors of our joined one."""

    def __init__(self, classes, side=28):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=2)
        self.norm = nn.BatchNorm2d(16)
        self.classifier = nn.Linear(16 * ((side + 4) // 3 // 2) ** 2, classes)

    def forward(self, x):
        maps = []
        x, norm, cut = first(x), self.norm, (0, 3, 8, 16)
        for a, b in itertools.pairwise(cut):
            y = F.conv2d(x, self.conv.weight[a:b], self.conv.bias[a:b], padding=2)
            y = F.batch_norm(
                F.relu(y),
                norm.running_mean[a:b],
                norm.running_var[a:b],
                norm.weight[a:b],
                norm.bias[a:b],
                self.training,
            )
            maps.append(F.max_pool2d(y, 3, 3, 1))
        return self.classifier(flat(F.avg_pool2d(torch.cat(maps, 1), 2)))


class SOFTNet(nn.Module):
    def __init__(self, outputs, flat_size, channels=3, maps=(3, 5, 8), hidden=400):
        super().__init__()
        convs = [nn.Conv2d(channels // 3, out, 5, padding="same") for out in maps]
        self.streams = nn.ModuleList(convs)
        self.dense = nn.Linear(flat_size, hidden)
        self.classifier = nn.Linear(hidden, outputs)

    def forward(self, x):
        x = first(x)
        maps = [
            F.max_pool2d(F.relu(conv(x[:, at::3])), 3, 3) for at, conv in enumerate(self.streams)
        ]
        x = F.max_pool2d(torch.cat(maps, 1), 2, 2)
        return self.classifier(F.relu(self.dense(flat(x))))


class Stream(nn.Module):
    def __init__(self, filters, kernel):
        super().__init__()
        self.conv = nn.Conv3d(1, filters, kernel)

    def forward(self, x):
        return flat(F.max_pool3d(F.relu(self.conv(first(x))), 3))


class STCNN(nn.Module):
    def __init__(self, classes, features, filters, kernel, hidden):
        super().__init__()
        self.stream = Stream(filters, kernel)
        self.hidden = nn.Linear(features, hidden)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.classifier(F.relu(self.hidden(self.stream(x))))


class Dense(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])

    def forward(self, x):
        for layer in self.layers:
            x = F.relu(layer(x))
        return x


class FuseNet(nn.Module):
    def __init__(self, late, classes, features, filters, kernel, widths):
        super().__init__()
        self.streams = nn.ModuleList([Stream(filters, kernel) for _ in range(2)])
        ins = [features, features] if late else [2 * features]
        self.dense = nn.ModuleList([Dense(n, *widths) for n in ins])
        self.classifier = nn.Linear(len(ins) * widths[-1], classes)

    def forward(self, x):
        eyes, mouth = (stream(x[key]) for key, stream in zip(("eyes", "mouth"), self.streams))
        if len(self.dense) == 2:
            both = torch.cat([self.dense[0](eyes), self.dense[1](mouth)], 1)
        else:
            both = self.dense[0](torch.cat([eyes, mouth], 1))
        return self.classifier(both)


class Unit(nn.Module):
    def __init__(self, before, maps, kernel, relu_first=False, **options):
        super().__init__()
        self.conv = nn.Conv2d(before, maps, kernel, **options)
        self.norm = nn.BatchNorm2d(maps)
        self.relu_first = relu_first

    def forward(self, x):
        y = self.conv(x)
        return self.norm(F.relu(y)) if self.relu_first else F.relu(self.norm(y))


class RCN(nn.Module):
    """RCN-A, -S and -W in one, by `kind`."""

    def __init__(self, kind, classes, maps, pool):
        super().__init__()
        self.kind, self.pool = kind, pool
        self.stem = nn.Module()
        if kind == "w":
            parts = zip((1, 2, 3), (maps // 2, maps // 4, maps // 4))
            self.stem.units = nn.ModuleList(
                [Unit(3, n, 3, True, stride=3, padding=d, dilation=d) for d, n in parts]
            )
        else:
            self.stem.unit = Unit(3, maps, 5)
        self.block = nn.Module()
        self.block.feedforward = Unit(maps, maps, 1)
        self.block.recurrent = Unit(maps, maps, 3, padding=1)
        self.classifier = nn.Linear(pool * pool * maps, classes)

    def attention(self, x):
        x = F.adaptive_avg_pool2d(x, self.pool)
        size = (self.pool, self.pool, x.shape[1])
        maps = []
        for row in self.classifier.weight:
            cam = (row.reshape(size).movedim(-1, 0) * x).mean(1, keepdim=True)
            cam = cam - cam.amin((2, 3), keepdim=True)
            maps.append(cam / cam.amax((2, 3), keepdim=True))
        return torch.cat(maps, 1).mean(1, keepdim=True)

    def forward(self, x):
        x = first(x)
        if self.kind == "w":
            x = torch.cat([unit(x) for unit in self.stem.units], 1)
        else:
            x = F.max_pool2d(self.stem.unit(x), 2)
        step, y = self.block.recurrent, self.block.feedforward(x)
        if self.kind == "s":
            z = step(x + y)
            e = step(x + y + z)
            y = step(x + y + z + e)
        else:
            y = step(x + step(x + y))
        y = F.adaptive_avg_pool2d(F.max_pool2d(y, 2), self.pool)
        if self.kind == "a":
            y = y * self.attention(x)
        return self.classifier(flat(y))


class OFFApexNet(nn.Module):
    def __init__(self, classes, side, maps, hidden):
        super().__init__()
        a, b = maps
        self.first = nn.ModuleList([nn.Conv2d(1, a, 5, padding=2) for _ in range(2)])
        self.second = nn.ModuleList([nn.Conv2d(a, b, 5, padding=2) for _ in range(2)])
        joined = 2 * b * (side // 4) ** 2
        self.dense = nn.ModuleList([nn.Linear(joined, hidden), nn.Linear(hidden, hidden)])
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, x):
        streams = []
        for k, (one, two) in enumerate(zip(self.first, self.second)):
            y = F.max_pool2d(F.relu(one(x[:, None, :, :, k])), 2)
            streams.append(flat(F.max_pool2d(F.relu(two(y)), 2)))
        y = torch.cat(streams, 1)
        for layer in self.dense:
            y = F.relu(layer(y))
        return self.classifier(y)


class Inception(nn.Module):
    def __init__(self, before, maps):
        super().__init__()
        self.points = nn.ModuleList([nn.Conv2d(before, maps, 1) for _ in range(4)])
        self.wide = nn.ModuleList([nn.Conv2d(maps, maps, k, padding=k // 2) for k in (3, 5)])

    def forward(self, x):
        a, b, c, d = self.points
        three, five = self.wide
        branches = [a(x), three(F.relu(b(x))), five(F.relu(c(x))), d(F.max_pool2d(x, 3, 1, 1))]
        return F.relu(torch.cat(branches, 1))


class DualInception(nn.Module):
    def __init__(self, classes, side, maps, hidden):
        super().__init__()
        a, b = maps
        self.first = nn.ModuleList([Inception(1, a) for _ in range(2)])
        self.second = nn.ModuleList([Inception(4 * a, b) for _ in range(2)])
        self.dense = nn.Linear(8 * b * (side // 4) ** 2, hidden)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, x):
        streams = []
        for k, (one, two) in enumerate(zip(self.first, self.second)):
            y = F.max_pool2d(one(x[:, None, :, :, k]), 2)
            streams.append(flat(F.max_pool2d(two(y), 2)))
        return self.classifier(F.relu(self.dense(torch.cat(streams, 1))))


class ConvNorm(nn.Module):
    def __init__(self, before, maps, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(before, maps, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(maps)

    def forward(self, x):
        return self.norm(self.conv(x))


class Block(nn.Module):
    def __init__(self, before, maps, stride):
        super().__init__()
        self.first = ConvNorm(before, maps, 3, stride, 1)
        self.second = ConvNorm(maps, maps, 3, 1, 1)
        if stride != 1 or before != maps:
            self.shortcut = ConvNorm(before, maps, 1, stride)

    def forward(self, x):
        same = self.shortcut(x) if hasattr(self, "shortcut") else x
        return F.relu(self.second(F.relu(self.first(x))) + same)


def squash(v):
    norm = v.norm(dim=-1, keepdim=True)
    return norm**2 / (1 + norm**2) * v / norm


class Capsule(nn.Module):
    def __init__(self, classes, maps, capsules, count, routings=3):
        super().__init__()
        a, b, c = maps
        self.stem = ConvNorm(3, a, 7, 2, 3)
        sizes = ((a, a, 1), (a, a, 1), (a, b, 2), (b, b, 1), (b, c, 2), (c, c, 1))
        self.blocks = nn.ModuleList([Block(*size) for size in sizes])
        self.wide = nn.Conv2d(c, c, 9)
        self.primary = nn.Conv2d(c, capsules, 9, 2)
        self.transformations = nn.Parameter(torch.zeros(classes, count, 16, 8))
        self.routings = routings

    def forward(self, x):
        x = F.relu(self.stem(first(x)))
        for block in self.blocks:
            x = block(x)
        x = self.primary(F.relu(self.wide(x)))
        capsules = squash(flat(x).reshape(len(x), -1, 8))
        predictions = (self.transformations @ capsules[:, None, :, :, None]).squeeze(-1)
        coupling = torch.zeros(predictions.shape[:3], dtype=x.dtype)
        for number in range(self.routings):
            last = number == self.routings - 1
            seen = predictions if last else predictions.detach()
            v = squash((coupling.softmax(1)[..., None] * seen).sum(2))
            if not last:
                coupling = coupling + (v[:, :, None] * seen).sum(-1)
        return v.norm(dim=-1)


class ImageCNN(nn.Module):
    def __init__(self, classes, maps, hidden):
        super().__init__()
        self.counts = (2, 2, 3, 3, 3)
        sizes = [3] + [m for m, n in zip(maps, self.counts) for _ in range(n)]
        convs = [nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(sizes)]
        self.backbone = nn.Module()
        self.backbone.convs = nn.ModuleList(convs)
        self.dense = nn.ModuleList([nn.Linear(maps[-1], hidden), nn.Linear(hidden, hidden)])
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, x):
        x, convs = first(x), iter(self.backbone.convs)
        for count in self.counts:
            for _ in range(count):
                x = F.relu(next(convs)(x))
            x = F.max_pool2d(x, 2)
        x = flat(x)
        for layer in self.dense:
            x = F.relu(layer(x))
        return self.classifier(x)


class AlexNet(nn.Module):
    def __init__(self, maps):
        super().__init__()
        kernels = ((7, 2, 1), (5, 2, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
        sizes = itertools.pairwise((1, *maps))
        self.convs = nn.ModuleList([nn.Conv2d(a, b, *k) for (a, b), k in zip(sizes, kernels)])

    def forward(self, x):
        for number, conv in enumerate(self.convs):
            x = F.relu(conv(x))
            if number in (0, 1, 4):
                x = F.max_pool2d(x, 3, 2, 1)
        return x


class ResNet10(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.stem = ConvNorm(1, maps[0], 7, 2, 3)
        before = (maps[0], *maps)
        self.blocks = nn.ModuleList(
            [Block(a, b, 1 if n == 0 else 2) for n, (a, b) in enumerate(zip(before, maps))]
        )

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2, 1)
        for block in self.blocks:
            x = block(x)
        return x


class TPU(nn.Module):
    """Equations 4 and 7 to 9 of PSN, frame by frame; frames in [0, 1] perceived in grey levels."""

    def __init__(self, before, hidden):
        super().__init__()
        self.input = nn.Linear(before, hidden)
        self.hidden = nn.Linear(hidden, hidden, bias=False)
        self.modulated = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, hidden)

    def forward(self, x):
        h, last, said = x.new_zeros(len(x), self.hidden.in_features), None, []
        for frame in x.unbind(1):
            tp = 0 * frame[:, :1]
            if last is not None:
                tp = 255 * (frame - last).std(1, unbiased=False, keepdim=True)
            wanted = torch.tanh(self.input(frame) + self.hidden(h))
            h, last = torch.tanh(self.modulated(tp * wanted)), frame
            said.append(torch.tanh(self.output(h)))
        return torch.stack(said, 1)


class PSN(nn.Module):
    def __init__(
        self, classes, backbone, maps, wide, hidden, time, side, concat, pointwise, left=1
    ):
        """left: pixels that the backbone leaves; one of 32 x 32."""
        super().__init__()
        self.backbone = {"alexnet": AlexNet, "resnet10": ResNet10}[backbone](maps)
        self.spatial_dense = nn.Linear(left * maps[-1], 16 * wide)
        self.tpu = TPU(side**2, hidden)
        self.temporal_dense = nn.Linear(hidden, 16 * wide)
        pixels, joined = 1 if pointwise else 16, 2 * wide if concat else wide
        self.mix = nn.Linear(pixels * joined, pixels * 4)
        self.classifier = nn.Linear(64 * time, classes)
        self.concat, self.pixels = concat, pixels

    def forward(self, x):
        sparse, gray = x["sparse"], x["gray"]
        batch, time = gray.shape[:2]
        maps = flat(self.backbone(first(sparse.flatten(0, 1))))
        spatial = F.relu(self.spatial_dense(maps)).reshape(batch, time, 16, -1)
        temporal = F.relu(self.temporal_dense(self.tpu(gray.flatten(2))))
        temporal = temporal.reshape(batch, time, 16, -1)
        fused = torch.cat([spatial, temporal], -1) if self.concat else spatial + temporal
        if self.pixels > 1:
            fused = fused.flatten(2)
        return self.classifier(F.relu(self.mix(fused)).flatten(1))


def upright(x):
    """[B, T, C] -> [B, C, T], as 1-D convolutions want it."""
    return x.transpose(1, 2)


def same_pool(x, size):
    """Keras' padding "same" with a stride of the window: one more behind than before, if odd."""
    pads = [(n // 2, n - n // 2) for n in (-side % size for side in x.shape[2:])]
    return F.max_pool2d(F.pad(x, pads[1] + pads[0], value=-torch.inf), size)


class MEAN(nn.Module):
    """The streams as the authors' graph has them, from the tensors of our joined layers."""

    def __init__(self, classes, side, maps, filters, frozen):
        super().__init__()
        self.trunk = nn.Module()
        self.trunk.convs = nn.ModuleList([nn.Conv2d(1, n, 5, padding=2) for n in maps])
        self.trunk.norm = nn.BatchNorm2d(sum(maps), eps=1e-3, momentum=0.01)
        self.conv = nn.Conv2d(sum(maps), filters, 5, padding=2)
        self.classifier = nn.Linear(filters * (-(-side // 6)) ** 2, classes)
        self.frozen = frozen
        if frozen:
            for p in self.trunk.parameters():
                p.requires_grad_(False)

    def forward(self, x):
        streams, start, norm = [], 0, self.trunk.norm
        for n, conv in enumerate(self.trunk.convs):
            y, part = F.relu(conv(first(x)[:, n : n + 1])), slice(start, start + conv.out_channels)
            start += conv.out_channels
            y = F.batch_norm(
                y,
                norm.running_mean[part],
                norm.running_var[part],
                norm.weight[part],
                norm.bias[part],
                self.training and not self.frozen,
                norm.momentum,
                norm.eps,
            )
            streams.append(same_pool(y, 3))
        y = F.relu(self.conv(torch.cat(streams, 1)))
        return self.classifier(flat(same_pool(y, 2)))


class MTSN(nn.Module):
    def __init__(self, classes, spans, side, maps, hidden):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(1, n, 5, padding=2) for n in maps])
        self.dense = nn.Linear(spans * sum(maps) * (side // 3 // 2) ** 2, hidden)
        self.classifier = nn.Linear(hidden, classes)

    def trunk(self, flow):
        streams = [F.relu(conv(flow[:, n : n + 1])) for n, conv in enumerate(self.convs)]
        return flat(F.max_pool2d(torch.cat([F.max_pool2d(y, 3) for y in streams], 1), 2))

    def forward(self, x):
        both = torch.cat([self.trunk(flow) for flow in first(x).split(3, 1)], 1)
        return torch.sigmoid(self.classifier(F.relu(self.dense(both))))


class CBAM(nn.Module):
    def __init__(self, maps, normalize):
        super().__init__()
        self.squeeze, self.excite = nn.Linear(maps, 1), nn.Linear(1, maps)
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01) if normalize else nn.Identity()

    def forward(self, x):
        means, maxima = F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)
        each = [self.excite(F.relu(self.squeeze(p.flatten(1)))) for p in (means, maxima)]
        x = x * torch.sigmoid(each[0] + each[1]).unflatten(1, (-1, 1, 1))
        maps = torch.stack([x.amax(1), x.mean(1)], 1)
        return x * torch.sigmoid(self.norm(self.conv(maps)))


class FlowStream(nn.Module):
    def __init__(self, maps, normalize):
        super().__init__()
        self.first = nn.Conv2d(1, maps, 5, padding=2, bias=False)
        self.second = nn.Conv2d(maps, maps, 5, padding=2, bias=False)
        self.shortcut = nn.Conv2d(1, maps, 1, bias=False)
        norm = (lambda: nn.BatchNorm2d(maps)) if normalize else nn.Identity
        self.first_norm, self.second_norm = norm(), norm()
        self.attention = CBAM(maps, normalize)

    def forward(self, x):
        y = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return F.max_pool2d(F.relu(self.attention(y) + self.shortcut(x)), 3)


class Task(nn.Module):
    def __init__(self, before, side, filters, outputs):
        super().__init__()
        self.conv = nn.Conv2d(before, filters, 5, padding=2)
        self.dense = nn.Linear(filters * ((side + 1) // 2) ** 2, outputs)

    def forward(self, x):
        return self.dense(flat(F.max_pool2d(self.conv(x), 3, 2, 1)))


class SFAMNet(nn.Module):
    def __init__(self, classes, channels, side, maps, filters, normalize):
        super().__init__()
        self.streams = nn.ModuleList([FlowStream(maps, normalize) for _ in range(channels)])
        self.spotting = Task(channels * maps, side // 3, filters, 1)
        self.recognition = Task(channels * maps, side // 3, filters, classes)

    def forward(self, x):
        planes = first(x).split(1, 1)
        maps = torch.cat([stream(p) for stream, p in zip(self.streams, planes)], 1)
        return torch.cat([torch.sigmoid(self.spotting(maps)), self.recognition(maps)], 1)


class Frames(nn.Module):
    """1-D convolutions; a kernel of ours has a second axis of 1."""

    def __init__(self, features, maps, outputs):
        super().__init__()
        sizes = ((features, 1), (maps, 3), (maps, 3))
        self.convs = nn.ModuleList([nn.Conv2d(n, maps, (k, 1), bias=False) for n, k in sizes])
        self.norms = nn.ModuleList([nn.BatchNorm1d(maps) for _ in sizes])
        self.classifier = nn.Conv2d(maps, outputs, (3, 1), bias=False)

    def forward(self, x):
        for conv, norm, dilation in zip(self.convs, self.norms, (0, 1, 2)):
            weight = conv.weight.squeeze(-1)
            x = F.conv1d(x, weight, padding=dilation, dilation=max(1, dilation))
            x = F.relu(norm(x))
        return F.conv1d(x, self.classifier.weight.squeeze(-1), padding=2, dilation=2)


class PEM(nn.Module):
    def __init__(self, outputs, regions, maps, weighted):
        super().__init__()
        if weighted:
            self.region_weights = nn.Parameter(torch.ones(regions))
        self.frames = Frames(2 * regions, maps, outputs)

    def forward(self, x):
        if hasattr(self, "region_weights"):
            x = x * self.region_weights.softmax(0).unsqueeze(-1)
        return upright(self.frames(upright(x.flatten(2)))).flatten(1)


class AUWGCN(nn.Module):
    """The graph layer frame by frame, as G (X W) + b."""

    def __init__(self, outputs, graph, maps, hidden):
        super().__init__()
        self.graph = torch.tensor(graph, dtype=torch.float64)
        self.graph = self.graph.reshape(2 * (int(len(graph) ** 0.5),))
        self.dense = nn.Linear(2, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.frames = Frames(len(self.graph) * hidden, maps, outputs)

    def forward(self, x):
        nodes = x.flatten(0, 1)  # [B T, regions, 2]
        nodes = self.graph.to(nodes) @ (nodes @ self.dense.weight.T) + self.dense.bias
        nodes = F.relu(upright(self.norm(upright(nodes))))
        return upright(self.frames(upright(nodes.reshape(*x.shape[:2], -1)))).flatten(1)
