"""Run studies: several trainings, compared on how well they embed every data set."""
