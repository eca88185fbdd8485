"""Names for data whose types are known only when it comes: JSON, and values by field name."""

from collections.abc import Mapping
from typing import Any

JsonObject = dict[str, Any]
"""A JSON object, or values by name, that its holder may change."""

Values = Mapping[str, Any]
"""Values by name, to read: a step's inputs or outputs, options, a JSON object from elsewhere."""
