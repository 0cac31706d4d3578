-- stage 1
SELECT a, b, a + c AS ac, UPPER(b) AS ub FROM (VALUES (1, 'x', 1.5), (2, 'yy', 2.25), (3, CAST(NULL AS STRING), 0)) AS t(a, b, c);
