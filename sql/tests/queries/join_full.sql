-- stage 3
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

CREATE TABLE auction (
  id BIGINT,
  itemName VARCHAR,
  description VARCHAR,
  initialBid BIGINT,
  reserve BIGINT,
  `dateTime` TIMESTAMP(3),
  expires TIMESTAMP(3),
  seller BIGINT,
  category BIGINT,
  extra VARCHAR
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/auction.csv',
  'format' = 'csv'
);

SELECT P.id AS pid, P.name, A.id AS aid, A.category FROM person AS P FULL JOIN auction AS A ON P.id = A.seller AND A.category <> 12;
