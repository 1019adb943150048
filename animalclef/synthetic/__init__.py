"""Render photographs of synthetic animals: the demo data set, and training sets.

`render_demo` writes the demo, `render_training_set` many species to train an embedder on. For further animals draw a
species with `random_species`, number its animals with `Animal(species, (seed, number))`, draw a `Visit` per
encounter and take a `photograph` of each.
"""

from animalclef.synthetic.coats import Animal, Coat, coat_of
from animalclef.synthetic.photograph import Photograph, photograph
from animalclef.synthetic.plan import DemoConfig
from animalclef.synthetic.render import render_demo
from animalclef.synthetic.species import DEMO_SPECIES, BodyStyle, Palette, PatternStyle, Species, random_species
from animalclef.synthetic.synthetic_training_set import TrainingSetConfig, render_training_set
from animalclef.synthetic.visits import Light, Visit, draw_visit

__all__ = [
    "DEMO_SPECIES",
    "Animal",
    "BodyStyle",
    "Coat",
    "DemoConfig",
    "Light",
    "Palette",
    "PatternStyle",
    "Photograph",
    "Species",
    "TrainingSetConfig",
    "Visit",
    "coat_of",
    "draw_visit",
    "photograph",
    "random_species",
    "render_demo",
    "render_training_set",
]
