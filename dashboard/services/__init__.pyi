from engine.basics.addresses import is_this_machine as is_this_machine
from engine.basics.data import JsonObject as JsonObject
from engine.basics.data import Values as Values
from engine.basics.home import (
    data_home as data_home,
    write_whole as write_whole,
)
from engine.basics.similarity import LOOKED_AT as LOOKED_AT
from engine.basics.statistics import (
    Agreement as Agreement,
    agreement as agreement,
    level as level,
    mean_interval as mean_interval,
    paired_interval as paired_interval,
    unbeaten as unbeaten,
)
from engine.basics.text import (
    Difference as Difference,
    Segment as Segment,
    change_in_percent as change_in_percent,
    chosen_from as chosen_from,
    counted as counted,
    difference as difference,
    dollars as dollars,
    duration as duration,
    in_percent as in_percent,
    in_points as in_points,
    listed as listed,
    percent as percent,
    points_gained as points_gained,
    price as price,
    printed_change as printed_change,
    short as short,
    signed as signed,
    time_taken as time_taken,
)
from engine.dataset import (
    ColumnProfile as ColumnProfile,
    Dataset as Dataset,
    KIND_TITLES as KIND_TITLES,
    RowProblem as RowProblem,
    guess_roles as guess_roles,
    read_dataset as read_dataset,
)
from engine.dataset.documents import (
    Evidence as Evidence,
    Page as Page,
    PagedDocument as PagedDocument,
    evidence_for as evidence_for,
)
from engine.dataset.doubt import (
    Doubt as Doubt,
    label_order as label_order,
)
from engine.dataset.logs import (
    COMMENT as COMMENT,
    THUMBS as THUMBS,
)
from engine.dataset.memory import release_memory as release_memory
from engine.dataset.preflight import (
    Finding as Finding,
    Fix as Fix,
)
from engine.dataset.profiling import role_doubts as role_doubts
from engine.dataset.reading import LARGEST_FILE as LARGEST_FILE
from engine.dataset.structured import cell_text as cell_text
from engine.dataset.table import safe_csv as safe_csv
from engine.errors import (
    ConfigurationError as ConfigurationError,
    DatasetError as DatasetError,
    EngineError as EngineError,
    NotFoundError as NotFoundError,
    PipelineError as PipelineError,
    RunError as RunError,
    UnknownNameError as UnknownNameError,
)
from engine.export.answering import option as option
from engine.export.container import (
    own_key_variables as own_key_variables,
    serve_command as serve_command,
)
from engine.export.formats import (
    ExportFormat as ExportFormat,
    export_forms as export_forms,
    get_export as get_export,
)
from engine.export.hero import (
    compared_scores as compared_scores,
    result_sentences as result_sentences,
    use_of_a_row as use_of_a_row,
)
from engine.export.program import (
    ProgramFile as ProgramFile,
    read_program as read_program,
)
from engine.lm import prices as prices
from engine.lm.choice import (
    ModelChoice as ModelChoice,
    PROVIDERS as PROVIDERS,
    Provider as Provider,
    find_provider as find_provider,
    find_route as find_route,
    is_offline as is_offline,
    key_variable as key_variable,
    without_password as without_password,
)
from engine.lm.connection import (
    LocalServer as LocalServer,
    local_servers as local_servers,
    providers_with_key as providers_with_key,
)
from engine.lm.calls.cache import default_cache as default_cache
from engine.lm.keys import (
    has_keyring as has_keyring,
    store_key as store_key,
)
from engine.lm.local.serving import serving_command as serving_command
from engine.lm.local.sources import (
    is_local as is_local,
    model_title as model_title,
)
from engine.lm.tuned import tuned_models as tuned_models
from engine.metrics.base import (
    Case as Case,
    Metric as Metric,
)
from engine.metrics.custom import WeightedSum as WeightedSum
from engine.metrics.json_fields import (
    JSONMatch as JSONMatch,
    parse_weights as parse_weights,
)
from engine.metrics.judge import Rubric as Rubric
from engine.metrics.matching import same as same
from engine.metrics.python_code import PythonMetric as PythonMetric
from engine.optimizers.base import Optimizer as Optimizer
from engine.optimizers.choose import (
    choose_optimizer as choose_optimizer,
    plans as plans,
)
from engine.optimizers.finetune import (
    BootstrapFinetuneOptions as BootstrapFinetuneOptions,
    judges_alone as judges_alone,
)
from engine.parts import (
    BACKENDS as BACKENDS,
    TRAINERS as TRAINERS,
    loaded,
    missing,
)
from engine.pipeline.build import build_program as build_program
from engine.pipeline.check import (
    spec_problems as spec_problems,
    usable_name as usable_name,
)
from engine.pipeline.corpora import (
    CorpusRetriever as CorpusRetriever,
    corpus_of as corpus_of,
)
from engine.pipeline.importers.attachments import (
    GivenFile as GivenFile,
    attached_path as attached_path,
)
from engine.pipeline.importers.task import (
    guess_form as guess_form,
    import_task as import_task,
    task_form as task_form,
)
from engine.pipeline.records import paths as paths
from engine.pipeline.spec import (
    AdapterName as AdapterName,
    CHOICE as CHOICE,
    Condition as Condition,
    CorpusSpec as CorpusSpec,
    Each as Each,
    FieldSpec as FieldSpec,
    PipelineSpec as PipelineSpec,
    StepOptions as StepOptions,
    StepSpec as StepSpec,
)
from engine.pipeline.strategies import TOOLS as TOOLS
from engine.pipeline.templates import (
    SAMPLES as SAMPLES,
    Sample as Sample,
)
from engine.records import (
    Candidate as Candidate,
    Demo as Demo,
    Outcome as Outcome,
    StepState as StepState,
    Usage as Usage,
    content_hash as content_hash,
    json_value as json_value,
    leaves as leaves,
    plain_path as plain_path,
    value_text as value_text,
    whole_trials as whole_trials,
)
from engine.registry import (
    METRICS as METRICS,
    OPTIMIZERS as OPTIMIZERS,
    get_metric as get_metric,
)
from engine.runs.child.new_rows import NewRows as NewRows
from engine.runs.child.playground import (
    MOST_ROWS as MOST_ROWS,
    ModelCall as ModelCall,
    Piece as Piece,
    PlaygroundAnswer as PlaygroundAnswer,
    PlaygroundRequest as PlaygroundRequest,
    error_line as error_line,
)
from engine.runs.drafting import (
    THE_RECORD as THE_RECORD,
    advised_metric as advised_metric,
    usual_options as usual_options,
)
from engine.runs.results.archive import (
    bring_back as bring_back,
    put_away as put_away,
)
from engine.runs.results.exports import (
    keep_version as keep_version,
    program_path as program_path,
    take_prompt as take_prompt,
    use_none as use_none,
    use_version as use_version,
)
from engine.runs.results.prompt_parts import (
    PartEffect as PartEffect,
    PromptPart as PromptPart,
    part_effects as part_effects,
    prompt_parts as prompt_parts,
    score_without as score_without,
    without_parts as without_parts,
)
from engine.runs.results.report import (
    right_rows as right_rows,
    run_report as run_report,
    run_results as run_results,
    step_calls as step_calls,
    tested as tested,
    training_file as training_file,
)
from engine.runs.spec import (
    Feedback as Feedback,
    Named as Named,
    ProjectDraft as ProjectDraft,
    RunSpec as RunSpec,
    SplitSpec as SplitSpec,
    TeacherPrompt as TeacherPrompt,
    make_metric as make_metric,
    no_gain_by_ray as no_gain_by_ray,
    sample_draft as sample_draft,
)
from engine.search.budget import (
    Budget as Budget,
    LIMIT_WORDS as LIMIT_WORDS,
)
from engine.search.estimate import (
    Estimate as Estimate,
    Range as Range,
)
from engine.search.freeze import (
    Freeze as Freeze,
    Part as Part,
    demo_key as demo_key,
)
from engine.search.judging.leader import known_trials as known_trials
from engine.search.judging.objective import (
    Goal as Goal,
    Objective as Objective,
)
from engine.search.judging.model_choice import answering_models as answering_models
from engine.search.judging.recommendation import (
    PricedPrompt as PricedPrompt,
    Unit as Unit,
    as_good as as_good,
    recommended as recommended,
    recommended_at as recommended_at,
    shared_unit as shared_unit,
)
from engine.search.result import (
    AnyVerdict as AnyVerdict,
    ComparedFigures as ComparedFigures,
    ModelComparison as ModelComparison,
    PromptFigures as PromptFigures,
    RowUse as RowUse,
    RunResult as RunResult,
    Verdict as Verdict,
)
from engine.search.judging.verdict import (
    MIN_ROWS as MIN_ROWS,
    WORSE_ROWS as WORSE_ROWS,
    Credit as Credit,
    smallest_gain as smallest_gain,
    step_credit as step_credit,
)
from engine.search.judging.wording import (
    ADVICE as ADVICE,
    runs_sentence as runs_sentence,
)
from engine.signature.grammar import without_none as without_none
from engine.signature.types.media import media_type as media_type
from engine.store.access import (
    NO_CHANGE as NO_CHANGE,
    OWNER_ONLY as OWNER_ONLY,
)
from engine.store.archive import BroughtBack as BroughtBack
from engine.store.queue import usual_runs as usual_runs
from engine.store.rows import (
    CandidateRow as CandidateRow,
    FeedbackRow as FeedbackRow,
    LinkRow as LinkRow,
    MemberRow as MemberRow,
    ProjectRow as ProjectRow,
    RequestRow as RequestRow,
    Role as Role,
    RunRow as RunRow,
    Spent as Spent,
    TESTING as TESTING,
    TrialRow as TrialRow,
    VersionRow as VersionRow,
)
from engine.store.runs import budget_now as budget_now
from engine.store.spend import month_of as month_of
from engine.store.users import (
    USERS_VARIABLE as USERS_VARIABLE,
    token_hash as token_hash,
)
from engine.optimizers.training.local import (
    LocalTrainer as LocalTrainer,
    find_base as find_base,
)

# Names that say nothing by themselves have another one here.
from engine.dataset.memory import LARGE
from engine.export.hero import VERDICTS
from engine.lm.choice import PACED
from engine.lm.local.serving import SERVERS
from engine.lm.local.sources import LOCAL
from engine.lm.tuned import PREFIX
from engine.metrics.custom import BY_NAME
from engine.pipeline.importers.attachments import TEXT
from engine.runs.drafting import NAME
from engine.runs.results.archive import FOLDER, SUFFIX
from engine.store.members import DAYS
from engine.store.rows import BUDGET, CANDIDATE, SCORE

LARGE_TABLE = LARGE
VERDICT_TITLES = VERDICTS
PACED_MODEL = PACED
MODEL_SERVERS = SERVERS
LOCAL_MODELS = LOCAL
TUNED_PREFIX = PREFIX
PART_METRICS = BY_NAME
ATTACHED_TEXT = TEXT
DOCUMENT_NAME = NAME
ARCHIVE_FOLDER = FOLDER
ARCHIVE_SUFFIX = SUFFIX
LINK_DAYS = DAYS
BUDGET_REQUEST = BUDGET
CANDIDATE_REQUEST = CANDIDATE
SCORE_REQUEST = SCORE
loaded_parts = loaded
missing_extra = missing
