-- stage 1
-- A table that names fewer columns than the file has: refused at the first row.

CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/bid.csv',
  'format' = 'csv'
);

SELECT * FROM bid WHERE price > 50000000;
