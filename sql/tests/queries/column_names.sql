-- stage 1
CREATE TABLE bid (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  channel VARCHAR,
  url VARCHAR,
  `dateTime` TIMESTAMP(3),
  extra VARCHAR
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/bid.csv',
  'format' = 'csv'
);

SELECT auction, b2.bidder, b2.price AS `my price`, price, price + 1, UPPER(channel), 1 AS `select` FROM bid AS b2 WHERE price < 200;
