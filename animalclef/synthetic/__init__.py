"""Rendered photographs of invented animals: a data set to start with, and a source of training pictures.

`render_demo` writes the data set, `render_crowd` one of many species to train an embedder on. For endless animals
draw a species with `random_species`, number its animals with `Animal(species, (seed, number))`, draw a `Visit` per
encounter and take a `photograph` of each.
"""

from animalclef.synthetic.coats import Animal, Coat, coat_of
from animalclef.synthetic.crowd import CrowdConfig, render_crowd
from animalclef.synthetic.demo_settings import DemoConfig
from animalclef.synthetic.photograph import Photograph, photograph
from animalclef.synthetic.render import render_demo
from animalclef.synthetic.roster import DEMO_SPECIES, random_species
from animalclef.synthetic.species import BodyStyle, Palette, PatternStyle, Species
from animalclef.synthetic.visits import Light, Visit, draw_visit

__all__ = [
    "DEMO_SPECIES",
    "Animal",
    "BodyStyle",
    "Coat",
    "CrowdConfig",
    "DemoConfig",
    "Light",
    "Palette",
    "PatternStyle",
    "Photograph",
    "Species",
    "Visit",
    "coat_of",
    "draw_visit",
    "photograph",
    "random_species",
    "render_crowd",
    "render_demo",
]
