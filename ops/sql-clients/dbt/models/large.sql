{{ config(materialized='view', type='streaming') }}
select n from {{ ref('written') }} where twice > 100
