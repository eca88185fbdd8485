"""What counts as a good answer."""

from dashboard.components.metric.judge_check import judge_check
from dashboard.components.metric.metric_cards import metric_cards, more_metrics
from dashboard.components.metric.metric_options import metric_options
from dashboard.components.metric.metric_try import metric_try
from dashboard.components.wizard import wizard_header

now = wizard_header("metric")
if now is not None:
    metric_cards(now)
    more_metrics(now)
    metric_options(now)
    metric_try(now)
    judge_check(now)
