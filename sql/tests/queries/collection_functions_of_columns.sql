-- stage 1
CREATE TABLE orders (
  id BIGINT,
  customer STRING,
  product STRING,
  amount DECIMAL(10, 2),
  quantity INT,
  ts TIMESTAMP(3),
  country STRING
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/orders.csv',
  'format' = 'csv',
  'csv.null-literal' = ''
);

SELECT id, ARRAY[quantity, CAST(id AS INT)] AS a, ARRAY_CONTAINS(ARRAY['tea', product], 'coffee') AS c,
  ARRAY_POSITION(ARRAY[product, country], 'DE') AS p, ARRAY_SORT(ARRAY[product, country, customer]) AS s,
  ARRAY_MAX(ARRAY[quantity, 3]) AS x, ARRAY_JOIN(ARRAY[product, country], '-', '?') AS j, ARRAY_DISTINCT(ARRAY[quantity, 1, 2]) AS d,
  MAP[customer, quantity] AS m, MAP_KEYS(MAP[customer, product]) AS k, MAP['k', product]['k'] AS v,
  MAP_UNION(MAP['a', quantity], MAP['a', CAST(id AS INT)]) AS u, ARRAY_SLICE(ARRAY[quantity, 7, 8], quantity) AS l,
  ARRAY_REMOVE(ARRAY[product, country], product) AS r, ARRAY_EXCEPT(ARRAY[product, country], ARRAY[country]) AS e,
  ROW(product, quantity) AS w, CARDINALITY(ARRAY[product]) AS n, JSON_ARRAY(product, quantity, amount, ts) AS ja,
  JSON_OBJECT('p' VALUE product, 'c' VALUE country ABSENT ON NULL) AS jo, JSON_STRING(ROW(product, amount)) AS js
FROM orders WHERE id < 60 AND customer IS NOT NULL;
