"""The metric page: how an answer is scored."""

from dashboard.app_pages.metric.cards import metric_cards, metric_options
from dashboard.app_pages.metric.preview import judge_check, metric_preview
from dashboard.components.guard import watch
from dashboard.components.wizard import wizard_header

now = wizard_header("metric")
if now is not None:
    watch(now, "metric")
    metric_cards(now)
    metric_options(now)
    metric_preview(now)
    judge_check(now)
