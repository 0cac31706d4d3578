-- The same messages without their format: keeps 9 of 10, by a digit of the auction.
CREATE TABLE lines (line STRING) WITH (${source});
CREATE TABLE kept (line STRING) WITH (${sink});
INSERT INTO kept SELECT line FROM lines WHERE SUBSTRING(line, 12, 1) <> '7';
