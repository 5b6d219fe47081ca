"""Paints landscapes that look a little like photographs, and knows the mask of every object.

Objects are painted back to front with soft edges. The mask of an object is where it can be seen:
where it covers at least half of a pixel, and nothing was painted over it later.
"""

from __future__ import annotations

import numpy as np
from canvas import Canvas, mix, noise

CROWNS = {
    'noon': [(0.20, 0.40, 0.13), (0.27, 0.46, 0.16), (0.16, 0.34, 0.15)],
    'sunset': [(0.27, 0.33, 0.14), (0.33, 0.32, 0.13), (0.20, 0.27, 0.14)],
    'morning': [(0.26, 0.46, 0.18), (0.34, 0.52, 0.20), (0.80, 0.62, 0.68)],
    'autumn': [(0.78, 0.44, 0.12), (0.70, 0.28, 0.12), (0.76, 0.60, 0.18)],
}
WALLS = [(0.93, 0.88, 0.78), (0.72, 0.33, 0.26), (0.86, 0.90, 0.92), (0.90, 0.76, 0.50)]
ROOFS = [(0.58, 0.24, 0.18), (0.30, 0.31, 0.36), (0.46, 0.30, 0.22)]
TOYS = [(0.88, 0.20, 0.18), (0.15, 0.42, 0.80), (0.96, 0.74, 0.14), (0.20, 0.62, 0.42)]


class Scene(Canvas):
    """A landscape: what can stand in it."""

    def sky(self) -> None:
        depth = self.rows / (0.6 * self.height)
        color = mix(self.light.zenith, self.light.horizon, depth**0.8)
        distance = np.hypot(self.columns - self.sun[0], self.rows - self.sun[1]) / self.unit
        color = mix(color, self.light.sun, 0.75 * np.exp(-distance / 16))
        self.paint('sky', np.ones_like(self.rows), color)
        shape = (self.height, self.width)
        stretched = noise(self.rng, shape, 38 * self.unit, 6)
        cover = np.clip(0.95 * (stretched - 0.15), 0, 0.78) * np.clip(1.2 - depth, 0, 1)
        shade = mix((0.80, 0.82, 0.87), (1, 0.99, 0.97), 0.35 + 0.6 * stretched)
        self.paint(None, cover, mix(shade, self.light.horizon, 0.4 * depth))
        self.paint('sun', 3.2 * self.unit - distance * self.unit + 0.5, self.light.sun)

    def ridge(self, name: str, base: float, swing: float, color, rough: float = 0.05) -> np.ndarray:
        """A skyline from edge to edge; returns its row by column."""
        line = noise(self.rng, (2, self.width), 70 * self.unit, 6)[0]
        top = self.height * (base - swing * line)
        shade = 1 + rough * noise(self.rng, (self.height, self.width), 14 * self.unit, 5)
        below = np.clip((self.rows - top) / (0.25 * self.height), 0, 1)
        color = mix(np.asarray(color), mix(color, self.light.horizon, np.float32(0.35)), below)
        self.paint(name, self.rows - top + 0.5, color * shade[..., None])
        return top

    def lake(self, top: float) -> None:
        rows = self.rows - top * self.height
        mirrored = np.clip(1 - rows / (0.45 * self.height), 0, 1)
        ripple = noise(self.rng, (self.height, 4), 3 * self.unit, 4)[:, :1]
        ripple = ripple + 0.6 * noise(self.rng, (self.height, self.width), 9 * self.unit, 3)
        color = mix(self.light.zenith, self.light.horizon, mirrored**2 + 0.10 * ripple)
        self.paint('lake', rows + 0.5, color * 0.86)

    def meadow(self, base: float) -> np.ndarray:
        line = noise(self.rng, (2, self.width), 120 * self.unit, 2)[0]
        top = self.height * (base - 0.035 * line)
        depth = np.clip((self.rows - top) / (self.height - top), 0, 1)
        color = mix(np.asarray(self.light.grass) * 1.25 + 0.06, self.light.grass, depth)
        patches = noise(self.rng, (self.height, self.width), 40 * self.unit, 3)
        blades = noise(self.rng, (self.height, self.width), 2.2 * self.unit, 2) * (0.3 + depth)
        shade = (1 + 0.10 * patches + 0.11 * blades) * (1.05 - 0.35 * depth)
        self.paint('meadow', self.rows - top + 0.5, color * shade[..., None])
        return top

    def shadow(self, x: float, y: float, width: float, strength: float = 0.45) -> None:
        rows, columns, corner = self.window(x - 2 * width, y - width, x + 2 * width, y + width)
        if rows.size:
            away = np.sign(x - self.sun[0]) * 0.35 * width
            radius = np.hypot((columns - x - away) / width, (rows - y) / (0.22 * width))
            self.paint(None, strength * np.clip(1.4 - radius, 0, 1), (0.06, 0.09, 0.08), corner)

    def ball(self, name: str, x: float, y: float, radius: float, color, stripes: int = 0) -> None:
        """A ball that lies at (x, y), the lowest point; stripes make it a beach ball."""
        self.shadow(x, y, radius * 1.25)
        cy = y - radius
        rows, columns, corner = self.window(x - radius, cy - radius, x + radius, cy + radius)
        if not rows.size:
            return
        u, v = (columns - x) / radius, (rows - cy) / radius
        depth = np.sqrt(np.clip(1 - u**2 - v**2, 0, 1))
        side = np.sign(self.sun[0] - x) * 0.5
        lit = np.clip(u * side - 0.62 * v + 0.6 * depth, 0, 1)
        surface = np.asarray(color, np.float32) * np.ones((*u.shape, 1), np.float32)
        if stripes:
            angle = np.arctan2(u * 0.9 + v * 0.4, depth + 0.05)
            surface = mix(surface, (0.97, 0.96, 0.93), np.clip(6 * np.sin(stripes * angle), 0, 1))
        glint = np.exp(-((u - 0.42 * np.sign(side)) ** 2 + (v + 0.5) ** 2) / 0.02)
        shaded = mix(surface * (0.34 + 0.80 * lit[..., None]), (1, 1, 1), 0.7 * glint)
        self.paint(name, (1 - np.hypot(u, v)) * radius + 0.5, shaded, corner)

    def tree(self, name: str, x: float, y: float, size: float) -> None:
        """A tree whose trunk stands at (x, y), `size` pixels high."""
        self.shadow(x, y, 0.34 * size, 0.4)
        half, middle = 0.035 * size, y - 0.66 * size
        fork = y - size / 2
        trunk = [(x - half, y), (x + half, y), (x + half / 2, fork), (x - half / 2, fork)]
        self.polygon(name, trunk, (0.33, 0.25, 0.18), 0.2)
        palette = CROWNS[self.light_name]
        color = np.asarray(palette[self.rng.integers(len(palette))])
        side = np.sign(self.sun[0] - x)
        angle = self.rng.uniform(0, 2 * np.pi, 26)
        reach = np.sqrt(self.rng.uniform(0, 1, 26))
        xs = x + 0.25 * size * reach * np.cos(angle)
        ys = middle - 0.24 * size * reach * np.sin(angle)
        for n in np.argsort(side * xs - 0.6 * ys):
            radius = size * self.rng.uniform(0.08, 0.14)
            away = (side * (xs[n] - x) - 1.2 * (ys[n] - middle)) / size
            self._foliage(name, xs[n], ys[n], radius, color * (0.95 + 0.9 * away), side)

    def _foliage(self, name: str, x: float, y: float, radius: float, color, side: float) -> None:
        reach = 1.5 * radius
        rows, columns, corner = self.window(x - reach, y - reach, x + reach, y + reach)
        if min(rows.shape) < 2:
            return
        ragged = noise(self.rng, rows.shape, 0.5 * radius, 4)
        lit = 1 + 0.3 * (side * (columns - x) - 1.2 * (rows - y)) / radius + 0.22 * ragged
        edge = radius * (1 + 0.32 * ragged) - np.hypot(columns - x, rows - y)
        self.paint(name, edge * 0.8, color * np.clip(lit, 0.35, 1.7)[..., None], corner)

    def house(self, name: str, x: float, y: float, size: float) -> None:
        """A house whose front stands on row y, centred on column x, `size` pixels wide."""
        wall = np.asarray(WALLS[self.rng.integers(len(WALLS))])
        roof = np.asarray(ROOFS[self.rng.integers(len(ROOFS))])
        half, tall, peak = size / 2, 0.52 * size, 0.36 * size
        lit = 1.0 if self.sun[0] < x else 0.9
        self.shadow(x, y, 0.62 * size, 0.4)

        def box(part, left, top, right, bottom, color, texture=0.0):
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            self.polygon(f'{name} {part}', corners, color, texture)

        ridge = (x, y - tall - peak)
        front = [(x - half, y), (x - half, y - tall), ridge, (x + half, y - tall), (x + half, y)]
        self.polygon(f'{name} wall', front, wall * lit, 0.04)
        eave, thick = 0.09 * size, 0.10 * size
        for part, sign, shade in (('left roof', -1, 1.1), ('right roof', 1, 0.85)):
            end = x + sign * (half + eave)
            drop = y - tall + eave * peak / half
            slope = [(x, ridge[1] - thick), (end, drop - thick), (end, drop), ridge]
            self.polygon(f'{name} {part}', slope, roof * shade, 0.12)
        box('door', x - 0.09 * size, y - 0.32 * size, x + 0.09 * size, y, (0.35, 0.2, 0.13), 0.08)
        for n, offset in enumerate((-0.3, 0.3)):
            left, top, side = x + (offset - 0.1) * size, y - 0.4 * size, 0.2 * size
            box(f'frame {n}', left, top, left + side, top + side, (0.96, 0.95, 0.92))
            pane, gap = 0.39 * side, 0.08 * side
            for row in (0, 1):
                for column in (0, 1):
                    px = left + gap + column * (pane + 0.9 * gap)
                    py = top + gap + row * (pane + 0.9 * gap)
                    glass = np.asarray((0.30, 0.42, 0.52)) * self.rng.uniform(0.85, 1.3)
                    box(f'window {n}', px, py, px + pane, py + pane, glass)

    def ring(self, name: str, x: float, y: float, radius: float, color) -> None:
        """A swim ring that leans against nothing at (x, y): an object with a hole."""
        self.shadow(x, y, radius * 1.1)
        cy = y - radius
        rows, columns, corner = self.window(x - radius, cy - radius, x + radius, cy + radius)
        if not rows.size:
            return
        u, v = (columns - x) / radius, (rows - cy) / radius
        distance = np.hypot(u, v)
        across = (distance - 0.75) / 0.25
        turns = np.clip(8 * np.sin(4 * np.arctan2(v, u) + 0.6), 0, 1)
        surface = mix(color, (0.97, 0.96, 0.94), turns)
        lit = 0.62 + 0.45 * np.sqrt(np.clip(1 - across**2, 0, 1)) - 0.2 * v * distance
        edge = (0.25 - np.abs(distance - 0.75)) * radius + 0.5
        self.paint(name, edge, surface * lit[..., None], corner)

    def balloon(self, name: str, x: float, y: float, radius: float, color) -> None:
        """A hot-air balloon whose envelope is centred on (x, y)."""
        for sign in (-1, 1):
            thin = 0.015 * radius + 0.6
            (x0, y0), (x1, y1) = (
                (x + sign * 0.5 * radius, y + 0.8 * radius),
                (x + sign * 0.16 * radius, y + 1.62 * radius),
            )
            rope = [(x0, y0), (x0 + thin, y0), (x1 + thin, y1), (x1, y1)]
            self.polygon(f'{name} basket', rope, (0.3, 0.24, 0.2))
        basket = [(x - 0.2, 1.55), (x + 0.2, 1.55), (x + 0.16, 1.85), (x - 0.16, 1.85)]
        corners = [(x + (px - x) * radius, y + py * radius) for px, py in basket]
        self.polygon(f'{name} basket', corners, (0.45, 0.31, 0.18), 0.15)
        rows, columns, corner = self.window(x - radius, y - radius, x + radius, y + 1.4 * radius)
        if not rows.size:
            return
        u, v = (columns - x) / radius, (rows - y) / radius
        lower = np.cos(np.clip(v, 0, 1.25) * 1.02)
        reach = np.where(v < 0, np.sqrt(np.clip(1 - v**2, 0, 1)), lower)
        across = np.clip(u / np.maximum(reach, 1e-3), -1, 1)
        gores = np.clip(5 * np.sin(7 * np.arcsin(across)), 0, 1)
        lit = 0.62 + 0.42 * np.sqrt(1 - across**2) - 0.12 * v
        lit = lit + 0.16 * across * np.sign(self.sun[0] - x)
        surface = mix(color, (0.98, 0.90, 0.70), gores) * lit[..., None]
        inside = np.where(v > 1.25, -1, (reach - np.abs(u)) * radius + 0.5)
        self.paint(f'{name} envelope', inside, surface, corner)

    def flowers(self, name: str, top: np.ndarray, count: int) -> None:
        """Flowers all over the meadow: one object of hundreds of runs."""
        color = TOYS[self.rng.integers(len(TOYS))]
        if self.light_name == 'autumn':
            color = (0.95, 0.9, 0.8)
        depth = np.sqrt(self.rng.uniform(0.02, 1, count))
        xs = self.rng.uniform(0, self.width, count)
        for x, near in sorted(zip(xs, depth, strict=True), key=lambda pair: pair[1]):
            start = top[min(self.width - 1, int(x))]
            y, radius = start + near * (self.height - start), self.unit * (0.16 + 0.42 * near)
            rows, columns, corner = self.window(x - radius, y - radius, x + radius, y + radius)
            shade = np.asarray(color) * self.rng.uniform(0.85, 1.15)
            self.paint(name, radius - np.hypot(columns - x, rows - y) + 0.5, shade, corner)


def landscape(seed: int, height: int, width: int, light: str) -> Scene:
    """A whole picture: sky, mountains, water or hills, a meadow, and what stands on it."""
    scene = Scene(seed, height, width, light)
    rng, unit = scene.rng, scene.unit
    scene.sky()
    haze = np.asarray(scene.light.horizon)
    for n, (base, swing, near) in enumerate(((0.46, 0.075, 0.35), (0.50, 0.055, 0.6))):
        blue = np.asarray((0.34, 0.42, 0.52)) * (1 - 0.25 * n)
        scene.ridge(f'mountains {n}', base, swing, haze * (1 - near) + blue * near)
    if rng.random() < 0.6:
        scene.lake(0.55)
    else:
        far_grass = 0.55 * np.asarray(scene.light.grass) + 0.28 * haze
        scene.ridge('hills', 0.56, 0.03, far_grass, 0.1)
    top = scene.meadow(rng.uniform(0.60, 0.66))
    flip = rng.random() < 0.5

    def place(x: float, depth: float) -> tuple[float, float]:
        x = (1 - x if flip else x) * width
        start = top[int(np.clip(x, 0, width - 1))]
        return x, start + depth * (height - start)

    for n in range(rng.integers(1, 3)):
        x, y = (place(rng.uniform(0.1, 0.9), 0)[0], height * rng.uniform(0.14, 0.26))
        color = TOYS[rng.integers(len(TOYS))]
        scene.balloon(f'balloon {n}', x, y, rng.uniform(4.5, 9) * unit, color)
    for n in range(rng.integers(3, 6)):
        spot = place(rng.uniform(0, 1), 0.02 + 0.04 * n)
        scene.tree(f'far tree {n}', *spot, rng.uniform(13, 20) * unit)
    scene.flowers('flowers', top, int(rng.integers(150, 320)))
    scene.house('house', *place(rng.uniform(0.2, 0.34), 0.22), rng.uniform(24, 30) * unit)
    scene.tree('near tree', *place(rng.uniform(0.72, 0.84), 0.36), rng.uniform(46, 58) * unit)
    for n, x in enumerate(rng.permutation(np.linspace(0.12, 0.88, 5))[: rng.integers(2, 5)]):
        spot = place(x + rng.uniform(-0.05, 0.05), rng.uniform(0.5, 0.92))
        size, color = rng.uniform(4, 8) * unit, TOYS[(n + seed) % len(TOYS)]
        if n == 1:
            scene.ring(f'ring {n}', *spot, size, color)
        else:
            scene.ball(f'ball {n}', *spot, size, color, int(rng.integers(0, 2)) * 4)
    return scene
