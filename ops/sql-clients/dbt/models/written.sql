{{ config(
    materialized='table',
    type='streaming',
    pre_hook=["SET 'table.dml-sync' = 'true'", "SET 'execution.checkpointing.interval' = '200 ms'"],
    connector_properties={'connector': 'filesystem', 'path': env_var('WRITTEN'), 'format': 'csv'}
) }}
select n, twice from {{ ref('doubled') }}
