"""What counts as a good answer."""

from dashboard.components.metric_cards import metric_cards, more_metrics
from dashboard.components.metric_options import metric_options
from dashboard.components.wizard import wizard_header

now = wizard_header("metric")
if now is not None:
    metric_cards(now)
    metric_options(now)
    more_metrics(now)
