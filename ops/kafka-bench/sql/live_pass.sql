-- Never ends; each row has the microsecond at which it was sent.
CREATE TABLE sent (id BIGINT, k BIGINT, price BIGINT, t BIGINT) WITH (${source});
CREATE TABLE received (id BIGINT, k BIGINT, price BIGINT, t BIGINT) WITH (${sink});
INSERT INTO received SELECT id, k, price, t FROM sent WHERE price > 1000;
