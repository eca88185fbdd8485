"""The metric page: how an answer is scored."""

from dashboard.components.tab_conflict import watch
from dashboard.components.wizard import wizard_header
from dashboard.metric.cards import metric_cards, metric_options
from dashboard.metric.preview import judge_check, metric_preview

page = wizard_header("metric")
if page is not None:
    watch(page, "metric")
    metric_cards(page)
    metric_options(page)
    metric_preview(page)
    judge_check(page)
