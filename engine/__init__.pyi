"""The public names: for type checkers and editors, and for `engine` itself, which loads them from this list."""

from engine import (
    adapters as adapters,
    callbacks as callbacks,
    dataset as dataset,
    errors as errors,
    evaluate as evaluate,
    lm as lm,
    metrics as metrics,
    modules as modules,
    optimizers as optimizers,
    retrieval as retrieval,
    signature as signature,
)
from engine.adapters.baml import BAMLAdapter as BAMLAdapter
from engine.adapters.base import Adapter as Adapter
from engine.adapters.chat import ChatAdapter as ChatAdapter
from engine.adapters.json import JSONAdapter as JSONAdapter
from engine.adapters.two_step import TwoStepAdapter as TwoStepAdapter
from engine.adapters.xml import XMLAdapter as XMLAdapter
from engine.callbacks import BaseCallback as BaseCallback
from engine.compat.agents import ReActV2 as ReActV2
from engine.compat.objects import (
    LMBillingError as LMBillingError,
    LMCollectionLimitError as LMCollectionLimitError,
    LMLockTimeoutError as LMLockTimeoutError,
    LMStreamAssemblyError as LMStreamAssemblyError,
    LMUnsupportedFeatureError as LMUnsupportedFeatureError,
    configure_dspy_loggers as configure_dspy_loggers,
    disable_litellm_logging as disable_litellm_logging,
    disable_logging as disable_logging,
    enable_litellm_logging as enable_litellm_logging,
    enable_logging as enable_logging,
    is_retryable_lm_error as is_retryable_lm_error,
)
from engine.dataset import Dataset as Dataset, read_dataset as read_dataset
from engine.dataset.documents.evidence import Evidence as Evidence, evidence_for as evidence_for
from engine.dataset.documents.paged import PagedDocument as PagedDocument, read_document as read_document
from engine.errors import (
    AdapterParseError as AdapterParseError,
    AuthenticationFailedError,
    BadReplyError,
    ConfigurationError as ConfigurationError,
    ContextWindowExceededError as ContextWindowExceededError,
    EngineError as EngineError,
    InvalidRequestError,
    LMError as LMError,
    LMTimeoutError as LMTimeoutError,
    ModelNotFoundError,
    ProviderFailureError,
    RateLimitedError,
    SandboxError,
    SignatureError as SignatureError,
    UnreachableError,
)
from engine.evaluate import Evaluate as Evaluate, EvaluationResult as EvaluationResult
from engine.export.dspy_script import import_dspy as import_dspy, save_dspy as save_dspy
from engine.export.program import load_program
from engine.compat.prompter.prompter import Prompter as Prompter
from engine.lm.base import BaseLM as BaseLM
from engine.lm.fallback import FallbackLM as FallbackLM
from engine.lm.calls.cache import configure_cache as configure_cache
from engine.lm.client import LM as LM
from engine.lm.embedder import Embedder as Embedder
from engine.lm.calls.history import inspect_history as inspect_history
from engine.metrics.base import FieldGrade as FieldGrade, Grade as Grade, Metric as Metric
from engine.metrics.comparers import register_evaluator as register_evaluator
from engine.metrics.custom import WeightedSum as WeightedSum
from engine.metrics.json_fields import JSONMatch as JSONMatch
from engine.metrics.judge import (
    CompleteAndGrounded as CompleteAndGrounded,
    Rubric as Rubric,
    SemanticF1 as SemanticF1,
)
from engine.metrics.matching import (
    EM as EM,
    Contains as Contains,
    ExactMatch as ExactMatch,
    NumberWithin as NumberWithin,
    Regex as Regex,
    answer_exact_match as answer_exact_match,
    answer_passage_match as answer_passage_match,
)
from engine.metrics.python_code import PythonMetric as PythonMetric
from engine.metrics.similarity import (
    BLEU as BLEU,
    F1 as F1,
    ROUGE as ROUGE,
    ChrF as ChrF,
    EditDistance as EditDistance,
    EmbeddingSimilarity as EmbeddingSimilarity,
    TokenF1 as TokenF1,
)
from engine.metrics.whole_set import Correlation as Correlation, MacroF1 as MacroF1
from engine.modules.assertions import Assert as Assert, Suggest as Suggest
from engine.modules.best_of_n import (
    BestOfN as BestOfN,
    MultiChainComparison as MultiChainComparison,
    Refine as Refine,
    majority as majority,
)
from engine.modules.code_act import CodeAct as CodeAct, ProgramOfThought as ProgramOfThought
from engine.modules.extract import Extract as Extract
from engine.modules.module import Module as Module
from engine.modules.parallel import Parallel as Parallel, asyncify as asyncify, syncify as syncify
from engine.modules.predict import ChainOfThought as ChainOfThought, Predict as Predict
from engine.modules.react import ReAct as ReAct
from engine.modules.retrieve import Retrieve as Retrieve
from engine.modules.rlm import RLM as RLM
from engine.optimizers.autotune.optimizer import Autotune as Autotune
from engine.optimizers.avatar import AvatarOptimizer as AvatarOptimizer
from engine.optimizers.base import Optimizer
from engine.optimizers.better_together import BetterTogether as BetterTogether
from engine.optimizers.choose import choose_optimizer as choose_optimizer
from engine.optimizers.copro import COPRO as COPRO
from engine.optimizers.ensemble import Ensemble as Ensemble
from engine.optimizers.few_shot import (
    BootstrapFewShot as BootstrapFewShot,
    KNNFewShot as KNNFewShot,
    LabeledFewShot as LabeledFewShot,
)
from engine.optimizers.few_shot_search import (
    BootstrapFewShotWithOptuna as BootstrapFewShotWithOptuna,
    BootstrapFewShotWithRandomSearch as BootstrapFewShotWithRandomSearch,
)
from engine.optimizers.field_by_field import FieldByField as FieldByField
from engine.optimizers.finetune import BootstrapFinetune as BootstrapFinetune
from engine.optimizers.gepa import GEPA as GEPA
from engine.optimizers.grpo import GRPO as GRPO
from engine.optimizers.infer_rules import InferRules as InferRules
from engine.optimizers.mipro import (
    BayesianSignatureOptimizer as BayesianSignatureOptimizer,
    MIPROv2 as MIPROv2,
)
from engine.optimizers.simba import SIMBA as SIMBA
from engine.pipeline.build import build_program as build_program
from engine.pipeline.importers.program import spec_of as spec_of
from engine.signature.prediction import Completions as Completions, Prediction as Prediction
from engine.records import (
    Candidate as Candidate,
    Demo as Demo,
    Example as Example,
    Outcome as Outcome,
    Usage as Usage,
)
from engine.retrieval.colbert import ColBERTv2 as ColBERTv2
from engine.retrieval.corpus import read_corpus as read_corpus
from engine.retrieval.indexes import (
    BM25 as BM25,
    Embeddings as Embeddings,
    EmbeddingsWithScores as EmbeddingsWithScores,
)
from engine.retrieval.knn import KNN as KNN
from engine.compat.settings import settings as settings
from engine.lm.calls.usage import track_usage as track_usage
from engine.runtime import (
    configure as configure,
    context as context,
)
from engine.search.budget import Budget as Budget
from engine.search.freeze import Freeze as Freeze
from engine.signature import (
    InputField as InputField,
    OutputField as OutputField,
    Signature as Signature,
    ensure_signature as ensure_signature,
    make_signature as make_signature,
)
from engine.signature.signature import SignatureMeta as SignatureMeta, infer_prefix as infer_prefix
from engine.evaluate.streaming import (
    StatusMessage as StatusMessage,
    StatusMessageProvider as StatusMessageProvider,
    StreamListener as StreamListener,
    StreamResponse as StreamResponse,
    streamify as streamify,
    streaming_response as streaming_response,
)
from engine.evaluate.telemetry import OpenTelemetryCallback as OpenTelemetryCallback
from engine.basics.text import normalize_text as normalize_text
from engine.tools.function import Tool as Tool
from engine.tools.interpreter import PythonInterpreter as PythonInterpreter
from engine.tools.pyodide import PyodideInterpreter as PyodideInterpreter
from engine.signature.types.base import Type as Type
from engine.signature.types.media import PDF as PDF, Audio as Audio, File as File, Image as Image
from engine.signature.types.textual import (
    Citations as Citations,
    Code as Code,
    Document as Document,
    History as History,
    Reasoning as Reasoning,
)
from engine.signature.types.tool import (
    ToolCall as ToolCall,
    ToolCallResults as ToolCallResults,
    ToolCalls as ToolCalls,
)

__version__: str

# DSPy's names for what has another name here.
BaseModule = Module
BootstrapRS = BootstrapFewShotWithRandomSearch
CodeExecutionError = SandboxError
CodeInterpreterError = SandboxError
DSPyError = EngineError
LMAuthError = AuthenticationFailedError
LMConfigurationError = ConfigurationError
LMInvalidRequestError = InvalidRequestError
LMNotConfiguredError = ConfigurationError
LMProviderError = LMError
LMRateLimitError = RateLimitedError
LMServerError = ProviderFailureError
LMTransportError = UnreachableError
LMUnexpectedError = BadReplyError
LMUnsupportedModelError = ModelNotFoundError
MIPRO = MIPROv2
OldInputField = InputField
OldOutputField = OutputField
Teleprompter = Optimizer
load = load_program
