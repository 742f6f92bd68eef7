"""PyTorch twins of HTNet, MMNet and BDCNN, by the rules of `networks`."""

import torch
from torch import nn
from torch.nn import functional as F

from tests.twins.networks import ConvNorm, first, flat


class Block(nn.Module):
    """With queries and keys, of any numbers: over one token they must change nothing."""

    def __init__(self, features, heads):
        super().__init__()
        self.heads = heads
        values = features // heads * heads
        self.norms = nn.ModuleList([nn.LayerNorm(features) for _ in range(2)])
        self.value = nn.Linear(features, values, bias=False)
        self.out = nn.Linear(values, features)
        self.wide = nn.Linear(features, 4 * features)
        self.narrow = nn.Linear(4 * features, features)

    def forward(self, x):
        z = self.norms[0](x)
        generator = torch.Generator().manual_seed(0)
        draw = lambda: torch.randn(self.value.weight.shape, generator=generator, dtype=x.dtype)
        query, key, value = (
            F.linear(z, weight).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for weight in (draw(), draw(), self.value.weight)
        )
        mixed = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1) @ value
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norms[1](x))))


class Merge(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.conv = nn.Conv2d(features, 2 * features, 3, padding=1)
        self.norm = nn.LayerNorm(2 * features)

    def forward(self, x):
        y = self.norm(self.conv(first(x)).movedim(1, -1))
        return F.max_pool2d(first(y), 3, 2, 1).movedim(1, -1)


class HTNet(nn.Module):
    """Patches by a strided convolution; attention within blocks, each of one token."""

    def __init__(self, classes, patch, channels, dim, heads, depths):
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch * patch * channels, dim)
        self.positions = nn.Parameter(torch.randn(len(depths)))
        self.levels = nn.ModuleList(
            nn.ModuleList(Block(dim * 2**n, heads * 2**n) for _ in range(depth))
            for n, depth in enumerate(depths)
        )
        self.merges = nn.ModuleList(Merge(dim * 2**n) for n in range(len(depths) - 1))
        self.norm = nn.LayerNorm(dim * 2 ** (len(depths) - 1))
        self.classifier = nn.Linear(dim * 2 ** (len(depths) - 1), classes)

    def forward(self, x):
        kernel = self.embed.weight.unflatten(1, (self.patch, self.patch, -1)).movedim(-1, 1)
        x = F.conv2d(first(x), kernel, self.embed.bias, stride=self.patch).movedim(1, -1)
        for number, blocks in enumerate(self.levels):
            shape = x.shape
            tokens = (x + self.positions[number]).reshape(-1, 1, shape[-1])
            for block in blocks:
                tokens = block(tokens)
            x = tokens.reshape(shape)
            if number < len(self.merges):
                x = self.merges[number](x)
        return self.classifier(self.norm(x).mean((1, 2)))


class CABlock(nn.Module):
    def __init__(self, before, maps, stride):
        super().__init__()
        self.first = ConvNorm(before, maps, 3, stride, 1)
        self.second = ConvNorm(maps, maps, 1)
        if stride > 1 or before != maps:
            self.shortcut = ConvNorm(before, maps, 1, stride)
        self.attention = ConvNorm(2, 1, 1)

    def forward(self, x, before):
        y = self.second(F.relu(self.first(x)))
        y = F.relu(y + (self.shortcut(x) if hasattr(self, "shortcut") else x))
        seen = torch.stack([y.mean(1), y.amax(1)], 1)
        attention = self.attention(seen).sigmoid()
        if before is not None:
            attention = attention * F.max_pool2d(before, 3, 2, 1)
        return y * attention, attention


class EncoderBlock(nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(features, eps=1e-6) for _ in range(2)])
        self.qkv = nn.Linear(features, 3 * features)
        self.out = nn.Linear(features, features)
        self.wide = nn.Linear(features, 2 * features)
        self.narrow = nn.Linear(2 * features, features)

    def forward(self, x):
        parts = self.qkv(self.norms[0](x)).chunk(3, -1)
        heads = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]
        mixed = F.scaled_dot_product_attention(*heads)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norms[1](x))))


class MMNet(nn.Module):
    def __init__(self, classes, channels, action, maps, heads, size):
        super().__init__()
        self.size = size
        self.action = ConvNorm(channels, action, 3, 2, 1)
        self.stem = ConvNorm(action, maps[0], 3, 1, 1)
        before = (maps[0], *maps)
        strides = (1, 2, 2, 2)
        self.blocks = nn.ModuleList(CABlock(*each) for each in zip(before, maps, strides))
        self.embed = nn.Linear(channels, maps[-1])
        self.positions = nn.Parameter(torch.zeros(maps[-1], size[0] * size[1]))
        self.encoder = nn.ModuleList(EncoderBlock(maps[-1], heads) for _ in range(3))
        self.norm = nn.LayerNorm(maps[-1], eps=1e-6)
        self.classifier = nn.Linear(size[0] * size[1] * maps[-1], classes)

    def forward(self, x):
        onset, apex = first(x[:, 0]), first(x[:, 1])
        small = F.interpolate(onset, self.size, mode="bilinear")
        tokens = self.embed(small.flatten(2).transpose(1, 2)) + self.positions.T
        for block in self.encoder:
            tokens = block(tokens)
        y, attention = F.relu(self.stem(F.relu(self.action(apex - onset)))), None
        for block in self.blocks:
            y, attention = block(y, attention)
        position = self.norm(tokens).transpose(1, 2).reshape(y.shape)
        return self.classifier(flat(y + position))


class BDCNN(nn.Module):
    def __init__(self, classes, shape, pictures, block, maps, fused, hidden):
        super().__init__()
        self.pictures, self.block = pictures, block
        self.conv = nn.Conv2d(shape[-1] // pictures, maps, 3, padding=1)
        count = pictures * (shape[0] // block) * (shape[1] // block)
        self.fuse = nn.Linear(count * maps, fused)
        side = (block - 1) // 3 + 1
        self.dense = nn.ModuleList([nn.Linear(fused * side**2, hidden[0]), nn.Linear(*hidden)])
        self.classifier = nn.Linear(hidden[-1], classes)

    def forward(self, x):
        maps = []
        for picture in first(x).chunk(self.pictures, 1):
            for row in picture.split(self.block, 2):
                for block in row.split(self.block, 3):
                    maps.append(F.max_pool2d(F.relu(self.conv(block)), 3, 3, 1))
        x = F.relu(F.conv2d(torch.cat(maps, 1), self.fuse.weight[:, :, None, None], self.fuse.bias))
        x = flat(x)
        for layer in self.dense:
            x = F.relu(layer(x))
        return self.classifier(x)
