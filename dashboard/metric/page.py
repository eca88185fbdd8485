"""The metric page: how an answer is scored."""

from dashboard.components.tab_conflict import watch
from dashboard.components.wizard import wizard_header
from dashboard.metric.cards import metric_cards, metric_options
from dashboard.metric.preview import judge_check, metric_preview

now = wizard_header("metric")
if now is not None:
    watch(now, "metric")
    metric_cards(now)
    metric_options(now)
    metric_preview(now)
    judge_check(now)
