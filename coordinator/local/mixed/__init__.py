"""One farm for all: workers of four protocols finish one job whose tasks need each of them.

`part` and `total` are the programs that the tasks run; `flamenco_worker`, `clearml_puller` and `celery_app` (run by
`stock_celery`, which `fetching` gets) are what farms of other systems consist of, and know nothing of ours. `job`
describes the work, `crew` starts the workers, `story` tells it, `summary` says who did what.
"""
