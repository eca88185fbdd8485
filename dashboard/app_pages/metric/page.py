"""The metric page: how an answer is scored."""

from dashboard.app_pages.metric.cards import metric_cards, metric_options, more_metrics
from dashboard.app_pages.metric.judge_check import judge_check
from dashboard.app_pages.metric.preview import metric_try
from dashboard.components.wizard import wizard_header

now = wizard_header("metric")
if now is not None:
    metric_cards(now)
    more_metrics(now)
    metric_options(now)
    metric_try(now)
    judge_check(now)
