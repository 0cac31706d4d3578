-- stage 3
-- Both sides are aggregates, so both send updates.

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

CREATE TABLE person (
  id BIGINT,
  name VARCHAR,
  emailAddress VARCHAR,
  creditCard VARCHAR,
  city VARCHAR,
  state VARCHAR,
  `dateTime` TIMESTAMP(3),
  extra VARCHAR
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/person.csv',
  'format' = 'csv'
);

SELECT o.c, o.n, p.m FROM (SELECT MOD(id, 10) AS c, COUNT(*) AS n FROM orders GROUP BY MOD(id, 10)) AS o
JOIN (SELECT MOD(id, 10) AS c, COUNT(*) AS m FROM person GROUP BY MOD(id, 10)) AS p ON o.c = p.c;
