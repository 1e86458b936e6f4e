"""The built-in images: a procedural museum of creatures that do not exist.

Three levels, as in nature: the *family* is a body plan (moth, fish, blossom, ammonite, beetle,
leaf, medusa, scallop), the *genus* its proportions and the kind of its pattern, the *species* its
fine details. Colours, pose, light, ground, shadow, grass and focus belong to the single image and
tell nothing of the species. Every bit follows from the seed, on any machine.
"""

from lookalike.demo.image import VERSION as VERSION
from lookalike.demo.image import draw as draw
from lookalike.demo.names import Name as Name
from lookalike.demo.names import taxonomy as taxonomy
