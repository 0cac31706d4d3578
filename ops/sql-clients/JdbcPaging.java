// Pages through a result with Flink's JDBC driver: java -cp DRIVER JdbcPaging.java jdbc:flink://HOST:PORT
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;

public class JdbcPaging {
  public static void main(String[] arguments) throws Exception {
    Class.forName("org.apache.flink.table.jdbc.FlinkDriver");
    try (Connection connection = DriverManager.getConnection(arguments[0]); Statement statement = connection.createStatement()) {
      statement.execute(
          "CREATE TEMPORARY TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500',"
              + " 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '6000')");
      try (ResultSet rows = statement.executeQuery("SELECT n FROM numbers")) {
        while (rows.next()) {
          System.out.println(rows.getLong(1));
        }
      }
    }
  }
}
