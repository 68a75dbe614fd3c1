from fasthde import data as data
from fasthde import plot as plot
from fasthde._check import CheckResult as CheckResult
from fasthde._check import check as check
from fasthde._jit import warmup as warmup
from fasthde._results import RidgeResult as RidgeResult
from fasthde._results import Status as Status
from fasthde._results import ValidityWarning as ValidityWarning
from fasthde.learning.problem import LinearProblem as LinearProblem
from fasthde.learning.ridge import convert_ridge as convert_ridge
from fasthde.learning.ridge import optimal_ridge as optimal_ridge
from fasthde.learning.ridge import ridge as ridge
from fasthde.spectrum import Spectrum as Spectrum

__version__: str
__all__: list[str]
