"""
What is waited for, and what the tenant's answers mean: the same in every mode of a sensor.

A wait (:class:`~airflow_provider_sptasks.waiting.tasks.TaskWait` or
:class:`~airflow_provider_sptasks.waiting.aggregations.AggregationWait`) is one value. It names the queries
that it needs, judges their answers, and travels with the trigger and its event. Sensors, triggers and the
operator that starts aggregations drive it; none of them judges anything.
"""
