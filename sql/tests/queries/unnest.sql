-- stage 3
SELECT t.id, u.x FROM (VALUES (1, ARRAY['a', 'b']), (2, ARRAY['c'])) AS t(id, xs) CROSS JOIN UNNEST(t.xs) AS u(x);
