"""Coloured point surfaces: the few shapes groceries are made of.

A surface is a dense cloud of points with normals and colours, in centimetres: x to the right, y up, z towards
the viewer. Dense enough points need no triangles, no rasteriser and no graphics library: ``sprites`` turns
them by two angles, sorts them by depth and writes them into a picture. It happens once per item and pose, so
clarity beats speed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Points per centimetre. Lower leaves pinholes in the largest sprite, higher only costs start-up time.
DENSITY = 12.5


@dataclass(frozen=True, slots=True)
class Surface:
    """Points of one object.

    Attributes:
        points: float32 (n, 3), centimetres.
        normals: float32 (n, 3), unit length.
        colours: float32 (n, 3), BGR 0..255.
        gloss: float32 (n,), 0 matt .. 1 mirror-like highlight.
    """

    points: Floats
    normals: Floats
    colours: Floats
    gloss: Floats


def join(parts: Sequence[Surface]) -> Surface:
    """Return one surface holding all points of the parts."""
    return Surface(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.colours for part in parts]),
        np.concatenate([part.gloss for part in parts]),
    )


def moved(surface: Surface, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Surface:
    """Return the surface shifted by centimetres."""
    shift = np.asarray([x, y, z], np.float32)
    return Surface(surface.points + shift, surface.normals, surface.colours, surface.gloss)


def laid_down(surface: Surface) -> Surface:
    """Return the surface turned by 90 degrees about the z axis: what stood now lies along x."""
    turn = np.asarray([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)
    return Surface(surface.points @ turn, surface.normals @ turn, surface.colours, surface.gloss)


def _count(length_cm: float) -> int:
    return max(4, int(length_cm * DENSITY))


def _sample(texture: Image, across: NDArray[np.floating], down: NDArray[np.floating]) -> Floats:
    rows = np.clip((down * texture.shape[0]).astype(np.int32), 0, texture.shape[0] - 1)
    columns = (across * texture.shape[1]).astype(np.int32) % texture.shape[1]
    return np.asarray(texture[rows, columns], np.float32)


def _unit(vectors: Floats) -> Floats:
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return np.asarray(vectors / np.maximum(length, 1e-6)[:, None], np.float32)


def lathe(profile: Sequence[tuple[float, float]], texture: Image, gloss: float = 0.2) -> Surface:
    """Turn a profile around the y axis.

    Args:
        profile: (height, radius) in centimetres, heights rising.
        texture: BGR; columns go once around, rows from the top of the profile to its bottom.
        gloss: 0 matt .. 1 mirror-like.
    """
    heights, radii = np.asarray(profile, np.float32).T
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(heights), np.diff(radii)))])
    steps = np.linspace(0, along[-1], _count(float(along[-1])), dtype=np.float32)
    height, radius = np.interp(steps, along, heights), np.interp(steps, along, radii)
    phi = np.linspace(0, 2 * np.pi, _count(float(2 * np.pi * radii.max())), endpoint=False)
    slope_h, slope_r = np.gradient(height), np.gradient(radius)
    grid_phi, grid_h = np.meshgrid(phi, height)
    grid_r = np.repeat(radius[:, None], len(phi), axis=1)
    points = np.stack([grid_r * np.sin(grid_phi), grid_h, grid_r * np.cos(grid_phi)], -1)
    outward = np.repeat(slope_h[:, None], len(phi), axis=1)
    upward = np.repeat(-slope_r[:, None], len(phi), axis=1)
    normals = np.stack([outward * np.sin(grid_phi), upward, outward * np.cos(grid_phi)], -1)
    down = (heights[-1] - grid_h) / max(float(heights[-1] - heights[0]), 1e-6)
    colours = _sample(texture, grid_phi / (2 * np.pi), down)
    return _flat(points, normals, colours, gloss)


def _flat(
    points: NDArray[np.floating], normals: NDArray[np.floating], colours: Floats, gloss: float
) -> Surface:
    count = points.size // 3
    return Surface(
        points.reshape(count, 3).astype(np.float32),
        _unit(normals.reshape(count, 3).astype(np.float32)),
        colours.reshape(count, 3),
        np.full(count, gloss, np.float32),
    )


def panel(
    corner: Sequence[float], right: Sequence[float], down: Sequence[float], texture: Image, gloss: float
) -> Surface:
    """Return a flat textured parallelogram; its front is where ``right`` x ``-down`` points."""
    origin, e_right, e_down = (np.asarray(vector, np.float32) for vector in (corner, right, down))
    across = np.linspace(0, 1, _count(float(np.linalg.norm(e_right))), endpoint=False, dtype=np.float32)
    downs = np.linspace(0, 1, _count(float(np.linalg.norm(e_down))), endpoint=False, dtype=np.float32)
    grid_u, grid_v = np.meshgrid(across, downs)
    points = origin + grid_u[..., None] * e_right + grid_v[..., None] * e_down
    normals = np.broadcast_to(np.cross(e_right, -e_down), points.shape)
    return _flat(points, normals, _sample(texture, grid_u, grid_v), gloss)


def box(size: tuple[float, float, float], faces: Sequence[Image], gloss: float = 0.15) -> Surface:
    """Return an upright box centred on x and z with its foot at y = 0.

    Args:
        size: Width (x), height (y) and depth (z) in centimetres.
        faces: Textures of front, right, back, left and top.
        gloss: 0 matt .. 1 mirror-like.
    """
    w, h, d = size
    front, right, back, left, top = faces
    return join(
        [
            panel((-w / 2, h, d / 2), (w, 0, 0), (0, -h, 0), front, gloss),
            panel((w / 2, h, d / 2), (0, 0, -d), (0, -h, 0), right, gloss),
            panel((w / 2, h, -d / 2), (-w, 0, 0), (0, -h, 0), back, gloss),
            panel((-w / 2, h, -d / 2), (0, 0, d), (0, -h, 0), left, gloss),
            panel((-w / 2, h, -d / 2), (w, 0, 0), (0, 0, d), top, gloss),
        ]
    )


def pillow(size: tuple[float, float, float], front: Image, back: Image, gloss: float = 0.6) -> Surface:
    """Return a filled bag: two bulging sheets with crimped ends and a few creases."""
    w, h, d = size
    across = np.linspace(-1, 1, _count(w * 1.3), dtype=np.float32)
    up = np.linspace(-1, 1, _count(h * 1.2), dtype=np.float32)
    u, v = np.meshgrid(across, up)
    bulge = (1 - np.abs(u) ** 2.5) ** 0.6 * (1 - np.abs(v) ** 4) ** 0.7 * d / 2
    bulge += 0.10 * np.sin(9 * u + 4 * v) * (1 - v**2) + 0.06 * np.sin(17 * v - 6 * u)
    waist = 1 - 0.06 * np.cos(np.pi * v) - 0.04 * np.abs(v)
    slope_v, slope_u = np.gradient(bulge, h / len(up), w / len(across))
    sheets = []
    for side, texture in ((1.0, front), (-1.0, back)):
        points = np.stack([side * u * waist * w / 2, (v + 1) * h / 2, side * bulge], -1)
        normals = np.stack([-side * slope_u, -slope_v, np.full_like(u, side)], -1)
        sheets.append(_flat(points, normals, _sample(texture, (u + 1) / 2.0001, (1 - v) / 2), gloss))
    return join(sheets)


def bent_tube(
    arc_radius_cm: float, arc_degrees: float, radius_cm: float, texture: Image, yaw_degrees: float = 0.0
) -> Surface:
    """Return a tapered tube along an arc that hangs from its top end (one banana).

    Args:
        arc_radius_cm: Radius of the curve the tube follows.
        arc_degrees: How far it follows it.
        radius_cm: Half thickness in the middle.
        texture: BGR; rows run from the stem to the tip.
        yaw_degrees: Turns the whole tube about the y axis through its stem.
    """
    theta = np.linspace(0, np.radians(arc_degrees), _count(arc_radius_cm * np.radians(arc_degrees)))
    phi = np.linspace(0, 2 * np.pi, _count(2 * np.pi * radius_cm), endpoint=False)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    part = t / theta[-1]
    thick = radius_cm * (0.28 + 0.72 * np.clip(np.sin(np.pi * np.clip(part * 1.02, 0, 1)), 0, 1) ** 0.45)
    thick *= np.where(part < 0.1, 0.55 + 4.5 * part, 1.0)
    out = np.stack([np.zeros_like(t), np.sin(t), np.cos(t)], -1) * np.asarray([1, -1, 1])
    ring = np.cos(p)[..., None] * out + np.sin(p)[..., None] * np.asarray([1.0, 0, 0])
    spine = arc_radius_cm * np.stack([np.zeros_like(t), -np.sin(t), np.cos(t) - 1], -1)
    yaw = np.radians(yaw_degrees)
    turn = np.asarray([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    points = (spine + thick[..., None] * ring) @ turn
    colours = _sample(texture, p / (2 * np.pi), np.minimum(part, 0.999))
    return _flat(points, ring @ turn, colours, 0.15)
