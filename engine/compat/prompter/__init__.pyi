"""The public names: for type checkers and editors, and for the package itself, which loads them from this list."""

from engine.compat.prompter.documents import (
    LabelledDocument as LabelledDocument,
    image_to_base64 as image_to_base64,
    pdf_to_base64_images as pdf_to_base64_images,
    prepare_input_data as prepare_input_data,
)
from engine.compat.prompter.fields import (
    apply_optimized_descriptions as apply_optimized_descriptions,
    create_optimized_model as create_optimized_model,
    create_output_model as create_output_model,
    extract_field_descriptions as extract_field_descriptions,
    extract_field_types as extract_field_types,
)
from engine.compat.prompter.prompter import Prompter as Prompter
from engine.compat.prompter.results import (
    ExtractionResult as ExtractionResult,
    FieldOptimizationProgress as FieldOptimizationProgress,
    OptimizationResult as OptimizationResult,
)

Example = LabelledDocument
