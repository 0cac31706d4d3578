{{ config(materialized='view', type='streaming') }}
select n, n * 2 as twice from {{ source('generated', 'numbers') }}
