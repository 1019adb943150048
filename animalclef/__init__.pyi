from animalclef.api.catalogues import Catalogue as Catalogue
from animalclef.api.catalogues import create_catalogue as create_catalogue
from animalclef.api.catalogues import load_catalogue as load_catalogue
from animalclef.api.clustering import Clusters as Clusters
from animalclef.api.clustering import cluster as cluster
from animalclef.api.datasets import Dataset as Dataset
from animalclef.api.datasets import load_config as load_config
from animalclef.api.datasets import load_dataset as load_dataset
from animalclef.api.extractors import Embedder as Embedder
from animalclef.api.extractors import LocalFeatureExtractor as LocalFeatureExtractor
from animalclef.api.extractors import Masks as Masks
from animalclef.api.extractors import segment as segment
from animalclef.api.finished import Run as Run
from animalclef.api.finished import write_report as write_report
from animalclef.api.matches import Matcher as Matcher
from animalclef.api.matches import Matches as Matches
from animalclef.api.runs import ensemble as ensemble
from animalclef.api.runs import load_run as load_run
from animalclef.api.runs import predict as predict
from animalclef.api.runs import tune_decision as tune_decision
from animalclef.api.scoring import competition_score as competition_score
from animalclef.api.scoring import retrieval_metrics as retrieval_metrics
from animalclef.api.scoring import retrieve as retrieve
from animalclef.api.training import train_embedder as train_embedder
from animalclef.api.training import train_matcher as train_matcher

__version__: str
