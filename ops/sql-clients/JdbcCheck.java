// Flink's JDBC driver against a SQL gateway: java -cp DRIVER JdbcCheck.java jdbc:flink://HOST:PORT
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;

public class JdbcCheck {
  public static void main(String[] arguments) throws Exception {
    // The driver does not register itself if a program is started from its source.
    Class.forName("org.apache.flink.table.jdbc.FlinkDriver");
    try (Connection connection = DriverManager.getConnection(arguments[0]); Statement statement = connection.createStatement()) {
      statement.execute("CREATE TABLE jdbc_check (a INT) WITH ('connector' = 'datagen')");
      statement.execute("SHOW TABLES");
      boolean found = false;
      try (ResultSet rows = statement.getResultSet()) {
        while (rows.next()) {
          found |= rows.getString(1).equals("jdbc_check");
        }
      }
      statement.execute("DROP TABLE jdbc_check");
      if (!found) {
        throw new IllegalStateException("the table is not listed");
      }
    }
    System.out.println("JDBC: OK");
  }
}
