-- stage 1
SELECT 1, 'a' AS x, 1 + 1.5, CAST(NULL AS INT) AS n, CURRENT_DATE > DATE '2020-01-01' AS later;
