"""PyTorch twins of the rivals since HTNet, by the rules of `networks`."""

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
        self.wide = nn.Linear(features, 4 * features)
        self.narrow = nn.Linear(4 * features, features)

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
        self.encoder = nn.ModuleList(EncoderBlock(maps[-1], heads) for _ in range(2))
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


class Reflect(nn.Conv2d):
    def __init__(self, before, maps, side, stride=1):
        super().__init__(before, maps, side, stride, side // 2, bias=False, padding_mode="reflect")


class Residual(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.first, self.second = Reflect(maps, maps, 3), Reflect(maps, maps, 3)

    def forward(self, x):
        return self.second(self.first(x).relu()) + x


class Magnifier(nn.Module):
    def __init__(self, before, narrow, maps, alpha):
        super().__init__()
        self.alpha = alpha
        layers = [Reflect(before, narrow, 7), Reflect(narrow, maps, 3, 2)]
        layers += [Residual(maps) for _ in range(3)]
        layers += [Reflect(maps, maps, 3), Residual(maps), Residual(maps)]
        self.encoder = nn.ModuleList(layers)
        self.before, self.after = Reflect(maps, maps, 7), Reflect(maps, maps, 3)
        self.residual = Residual(maps)

    def encode(self, x):
        for layer in self.encoder:
            x = layer(x)
            if isinstance(layer, Reflect):
                x = x.relu()
        return x

    def forward(self, x, since):
        now = self.encode(x)
        change = self.before(now - self.encode(since)).relu() * self.alpha
        return now + self.residual(self.after(change))


class Attention(nn.Module):
    def __init__(self, side):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, (1, side), padding=(0, side // 2), bias=False)

    def forward(self, x):
        along = lambda y: F.conv1d(y[:, None], self.conv.weight[:, :, 0], padding="same")[:, 0]
        total = along(x.mean((2, 3))) + along(F.adaptive_max_pool2d(x, 1)[..., 0, 0])
        return x * total.sigmoid()[:, :, None, None]


class ShiftLayer(nn.Module):
    """Two instants, of which an eighth of the maps is moved to the other one."""

    def __init__(self, before, maps, side, attention, shift):
        super().__init__()
        self.shift = shift
        self.conv = nn.Conv2d(before, maps, side, padding=0 if side == 5 else 1, bias=False)
        self.norm = nn.BatchNorm2d(maps)
        if attention:
            self.attention = Attention(attention)

    def forward(self, x):
        if self.shift:
            eighth = x.shape[1] // 8
            moved = x.unflatten(0, (-1, 2)).clone()
            first, second = x[::2], x[1::2]
            moved[:, 0, :eighth], moved[:, 1, :eighth] = second[:, :eighth], 0
            back = slice(eighth, 2 * eighth)
            moved[:, 0, back], moved[:, 1, back] = 0, first[:, back]
            x = moved.flatten(0, 1)
        x = self.norm(self.conv(x)).relu()
        return self.attention(x) if hasattr(self, "attention") else x


class Stream(nn.Module):
    def __init__(self, before, narrow, wide, attention, instants):
        super().__init__()
        self.instants = instants
        maps = (before, narrow, narrow, narrow, wide, wide)
        sides = (attention[0],) * 3 + (attention[1],) * 2 if attention else (0,) * 5
        self.layers = nn.ModuleList(
            ShiftLayer(maps[n], maps[n + 1], 3 if n else 5, sides[n], n and instants == 2)
            for n in range(5)
        )

    def forward(self, x):
        x = F.max_pool2d(self.layers[0](x), 5, 2, 2)
        x = F.avg_pool2d(self.layers[2](self.layers[1](x)), 3, 2, 1)
        x = self.layers[4](self.layers[3](x)).mean((2, 3))
        return x.unflatten(0, (-1, self.instants)).mean(1)


class SKDTSTSAN(nn.Module):
    """The flows are compared with flows of zero, as in the public code."""

    def __init__(self, classes, blocks, alpha, maps, attention):
        super().__init__()
        first, second, third, fourth = maps
        self.blocks = blocks
        self.magnifiers = nn.ModuleList(Magnifier(n, first, second, alpha) for n in (blocks, 1, 2))
        self.streams = nn.ModuleList(
            Stream(second, third, fourth, a, n) for a, n in ((attention, 1), (0, 1), (0, 2))
        )
        self.classifier = nn.Linear(3 * fourth, classes)

    def forward(self, x):
        apex, onset, *parts = first(x).split([1, 1, self.blocks, self.blocks, 4], 1)
        flows = parts[2].reshape(-1, 2, *parts[2].shape[2:])
        pairs = ((parts[0], parts[1]), (apex, onset), (flows, torch.zeros_like(flows)))
        found = [
            stream(magnifier(*pair))
            for stream, magnifier, pair in zip(self.streams, self.magnifiers, pairs)
        ]
        return self.classifier(torch.cat(found, 1))


class Encoder(nn.Module):
    def __init__(self, features, heads, inner, hidden):
        super().__init__()
        self.heads = heads
        for name in ("query", "key", "value"):
            setattr(self, name, nn.Linear(features, inner, bias=False))
        self.out = nn.Linear(inner, features, bias=False)
        self.wide, self.narrow = nn.Linear(features, hidden), nn.Linear(hidden, features)
        self.norms = nn.ModuleList([nn.LayerNorm(features, eps=1e-6) for _ in range(2)])

    def forward(self, x):
        heads = [
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        ]
        mixed = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        x = self.norms[0](x + self.out(mixed))
        return self.norms[1](x + self.narrow(self.wide(x).relu()))


class FGAUFusion(nn.Module):
    """Units' vectors [features, 9], multiplied from the left."""

    def __init__(self, classes, graph, patches, size, heads, inner, hidden, dense, embedded):
        super().__init__()
        third, features = patches // 3, dense[1]
        adjacency = torch.tensor(graph, dtype=torch.float64).reshape(9, 9) + torch.eye(9)
        root = adjacency.sum(1).pow(-0.5).diag()
        self.mixing = root @ adjacency.T @ root
        self.depthwise = nn.Parameter(torch.zeros(patches, 1, 3, 3))
        self.norm = nn.BatchNorm2d(patches)
        self.encoders = nn.ModuleList(Encoder(size, heads, inner, hidden) for _ in range(2))
        self.wide = nn.ModuleList(nn.Linear(n * size, dense[0]) for n in (third, 2 * third))
        self.narrow = nn.ModuleList(nn.Linear(dense[0], features) for _ in range(2))
        self.embedding = nn.Parameter(torch.zeros(embedded[0], 9))
        widths = ((embedded[0], embedded[1]), (embedded[1], features))
        self.graph_layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in widths)
        self.unit_norm = nn.LayerNorm(9, eps=1e-6)
        self.classifier = nn.Linear(9, classes)

    def forward(self, x):
        patches = x.shape[-1]
        x = F.conv2d(first(x), self.depthwise, padding=1, groups=patches)
        x = self.norm(x).relu().flatten(2)
        units = self.embedding
        for layer in self.graph_layers:
            units = F.leaky_relu(layer.weight @ units @ self.mixing.T, 0.2)
        fused = []
        for n, rows in enumerate((slice(patches // 3), slice(patches // 3, None))):
            y = self.encoders[n](x[:, rows]).flatten(1)
            y = self.narrow[n](self.wide[n](y).relu()).relu()
            fused.append(y @ (units[:, 3:] if n else units[:, :3]))
        return self.classifier(self.unit_norm(torch.cat(fused, 1)))
