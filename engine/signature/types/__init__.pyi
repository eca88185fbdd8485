"""The public names: for type checkers and editors, and for the package itself, which loads them from this list."""

from engine.signature.types.base import Type as Type
from engine.signature.types.media import PDF as PDF, Audio as Audio, File as File, Image as Image
from engine.signature.types.textual import (
    Citation as Citation,
    Citations as Citations,
    Code as Code,
    Document as Document,
    History as History,
    Reasoning as Reasoning,
)
from engine.signature.types.tool import (
    ToolCall as ToolCall,
    ToolCallResult as ToolCallResult,
    ToolCallResults as ToolCallResults,
    ToolCalls as ToolCalls,
    ToolForm as ToolForm,
)
