-- Keeps the bids that are not cheap: 9 of 10.
CREATE TABLE bids (auction BIGINT, bidder BIGINT, price BIGINT, ts BIGINT) WITH (${source});
CREATE TABLE kept (auction BIGINT, bidder BIGINT, price BIGINT, ts BIGINT) WITH (${sink});
INSERT INTO kept SELECT auction, bidder, price, ts FROM bids WHERE price > 1000;
